#include "client/cli/child_process.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace millrace::cli {
namespace {

std::string refused(const char* what, int code) { return std::string(what) + ": " + std::strerror(code); }

void write_all(int to, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto written = ::write(to, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return;  // it does not read to the end
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::string describe_end(int status) {
    if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? std::string() : "exit status " + std::to_string(WEXITSTATUS(status));
    return "killed by signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

std::string run_command(const std::string& command, std::string_view input) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) return refused("cannot make a pipe", errno);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[0], STDIN_FILENO);
    posix_spawnattr_t attributes;  // this program ignores SIGPIPE; what it runs should not
    ::posix_spawnattr_init(&attributes);
    sigset_t as_usual;
    ::sigemptyset(&as_usual);
    ::sigaddset(&as_usual, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes, &as_usual);
    ::posix_spawnattr_setpgroup(&attributes, 0);  // a Ctrl-C on the terminal asks this program to end, after the command
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::string shell = "sh", flag = "-c", text = command;
    char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
    pid_t child = 0;
    const int failed = ::posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[0]);
    if (failed != 0) {
        ::close(pipe[1]);
        return refused("cannot run /bin/sh", failed);
    }
    write_all(pipe[1], input);
    ::close(pipe[1]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return refused("cannot wait for the command", errno);
    return describe_end(status);
}

}  // namespace millrace::cli
