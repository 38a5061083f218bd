"""What AWS calls Network Insights: Reachability Analyzer, Network Access Analyzer, and guard rails made of their scopes."""
