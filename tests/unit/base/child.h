/* Runs a function in a child process, for what aborts or writes to stderr. */
#ifndef TANDEM_TEST_CHILD_H
#define TANDEM_TEST_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    bool aborted;
    int exit_code;     /* -1: a signal ended it */
    char output[8192]; /* what it wrote to stderr */
};

static inline struct child child_run(void (*function)(void))
{
    struct child child = {0};
    int ends[2];
    if (pipe(ends) != 0)
        return child;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        function();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got = 1; got > 0 && length<sizeof child.output - 1; length += got> 0 ? (size_t)got : 0)
        got = read(ends[0], child.output + length, sizeof child.output - 1 - length);
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    child.aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    child.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return child;
}

#endif
