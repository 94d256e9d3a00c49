// An object store as the sample stack runs it: nginx with the stack's own template, here on a port of this machine.
#pragma once

#include <csignal>
#include <optional>
#include <string>

#include "tests/process/child_process.hpp"

namespace photo_stack {

class object_store_process {
public:
    /// It is ready, and empty.
    object_store_process();
    ~object_store_process();
    object_store_process(const object_store_process&) = delete;
    object_store_process& operator=(const object_store_process&) = delete;

    /// Where all is read and written.
    std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

    void stop();
    void start();

    /// It lives, and does nothing, while this is there.
    void freeze() { child_->send(SIGSTOP); }
    void thaw() { child_->send(SIGCONT); }

    bool has(const std::string& path) const;

private:
    std::string folder_;
    int port_;
    std::optional<millrace::process::child_process> child_;
};

}  // namespace photo_stack
