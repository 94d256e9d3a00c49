// Runs a command of the shell with bytes on its standard input.
#pragma once

#include <string>
#include <string_view>

namespace millrace::cli {

/// Waits for its end. "" when it exited with 0, else why not: "exit status 3", "killed by signal 9", or what the system refused.
/// What the command does not read is no failure. Blocks; call it on a thread that may.
std::string run_command(const std::string& command, std::string_view input);

}  // namespace millrace::cli
