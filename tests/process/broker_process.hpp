// A real millraced on a free port, and a folder for its store.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/process/child_process.hpp"
#include "tests/scratch_directory.hpp"

namespace millrace::process {

class broker_process {
public:
    /// Starts it with `arguments` and, unless they say where, --listen and --admin 127.0.0.1:0; waits until it is ready. Throws std::runtime_error with its
    /// words when it ends instead. A broker that is to come back at the same place listens on 127.0.0.2: nobody's outgoing connection takes its port there.
    explicit broker_process(const std::vector<std::string>& arguments, const std::string& program = MILLRACED_PATH);

    /// HOST:PORT
    const std::string& address() const { return address_; }
    unsigned short port() const;
    /// HOST:PORT of admin HTTP, or none.
    const std::string& admin_address() const { return admin_address_; }
    const std::string& ready_line() const { return ready_line_; }

    child_process& process() { return process_; }

    /// kill -9, and waits.
    void kill() { process_.kill(); }

    /// SIGTERM; the exit code. Throws when it does not end.
    int stop();

    /// Bytes of memory it holds.
    std::size_t resident_bytes() const;

private:
    child_process process_;
    std::string ready_line_;
    std::string address_;
    std::string admin_address_;
};

/// The command line against a broker.
command_result millrace(const broker_process& broker, std::vector<std::string> arguments, const std::string& input = {});

}  // namespace millrace::process
