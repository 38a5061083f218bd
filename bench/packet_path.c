/* Load for bench/packet_path.py: packet_path MODE CLIENT_NS SERVER_NS ADDRESS PORT SECONDS CPU

   MODE rr: 64-byte round trips on one TCP connection; crr: connect, one byte each way, reset; udp: 18-byte datagrams.
   Client and server are pinned to one CPU, so every packet is processed there in the sender's own time (or by that CPU's
   ksoftirqd, whose time is added). Prints: operations, CPU microseconds of all of them together, seconds on the clock. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void enter(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET)) die(path);
    close(fd);
}

/* CPU microseconds a process has had so far: exact, unlike the tick counts of getrusage */
static double used(int pid) {
    char path[64];
    double ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%lf", &ns) != 1) ns = 0;
    fclose(file);
    return ns / 1e3;
}

/* The kernel thread that takes over packet processing on a busy CPU; 0 if it is not visible here */
static int helper(int cpu) {
    char want[32], path[300], name[32];
    snprintf(want, sizeof want, "ksoftirqd/%d\n", cpu);
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        if (pid == 0) continue;
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        char *got = fgets(name, sizeof name, file);
        fclose(file);
        if (got && strcmp(name, want) == 0) { closedir(proc); return pid; }
    }
    if (proc) closedir(proc);
    return 0;
}

static void __attribute__((noreturn)) serve(int listener) {
    char data[64];
    for (;;) {
        int one = 1, got, connection = accept(listener, NULL, NULL);
        if (connection < 0) die("accept");
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while ((got = read(connection, data, sizeof data)) > 0)
            if (write(connection, data, got) != got) break;
        close(connection);
    }
}

static int joined(const struct sockaddr_in *to) {
    int one = 1, made = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(made, (const void *)to, sizeof *to)) die("connect");
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return made;
}

static void trip(int connection, int size) {
    char data[64] = {0};
    if (write(connection, data, size) != size || recv(connection, data, size, MSG_WAITALL) != size) die("round trip");
}

int main(int count, char **word) {
    if (count != 8) { fprintf(stderr, "usage: packet_path MODE CLIENT_NS SERVER_NS ADDRESS PORT SECONDS CPU\n"); return 2; }
    const char *mode = word[1];
    double seconds = atof(word[6]);
    int cpu = atoi(word[7]), one = 1, go[2];
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    if (sched_setaffinity(0, sizeof only, &only)) die("affinity");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(word[5]))};
    inet_pton(AF_INET, word[4], &to.sin_addr);
    if (pipe(go)) die("pipe");
    int datagrams = !strcmp(mode, "udp"), server = fork();
    if (server < 0) die("fork");
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        enter(word[3]);
        int listener = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(listener, (void *)&to, sizeof to)) die("bind");
        if (!datagrams && listen(listener, 1024)) die("listen");
        if (write(go[1], "x", 1) != 1) die("pipe");
        while (datagrams) pause(); /* what arrives is not read: only the way there is measured */
        serve(listener);
    }
    char ready;
    close(go[1]);
    if (read(go[0], &ready, 1) != 1) die("server");
    enter(word[2]);
    int other = helper(cpu), connection = -1;
    long done = 0;
    if (!strcmp(mode, "rr")) connection = joined(&to);
    if (datagrams) {
        connection = socket(AF_INET, SOCK_DGRAM, 0);
        if (connect(connection, (void *)&to, sizeof to)) die("connect");
    }
    struct linger reset = {1, 0};
    double spent = -used(getpid()) - used(server) - (other ? used(other) : 0), start = now();
    while (now() - start < seconds) {
        if (!strcmp(mode, "rr")) {
            for (int n = 0; n < 16; n++, done++) trip(connection, 64);
        } else if (!strcmp(mode, "crr")) {
            int made = joined(&to);
            trip(made, 1);
            setsockopt(made, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(made);
            done++;
        } else {
            for (int n = 0; n < 16; n++, done++)
                if (send(connection, "abcdefghijklmnopqr", 18, 0) != 18) die("send");
        }
    }
    double end = now();
    spent += used(getpid()) + used(server) + (other ? used(other) : 0);
    printf("%ld %.3f %.6f\n", done, spent, end - start);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
