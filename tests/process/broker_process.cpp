#include "tests/process/broker_process.hpp"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace millrace::process {
namespace {

std::vector<std::string> on_free_ports(std::vector<std::string> arguments) {
    for (const auto* place : {"--listen", "--admin"})
        if (std::find(arguments.begin(), arguments.end(), place) == arguments.end()) arguments.insert(arguments.begin(), {place, "127.0.0.1:0"});
    return arguments;
}

/// What stands after `name` in the ready line, up to the next space.
std::string word_after(const std::string& line, const std::string& name) {
    const auto begin = line.find(name);
    if (begin == std::string::npos) return {};
    const auto word = begin + name.size();
    return line.substr(word, line.find(' ', word) - word);
}

}  // namespace

broker_process::broker_process(const std::vector<std::string>& arguments, const std::string& program)
    : process_(program, on_free_ports(arguments)) {
    const auto line = process_.read_line();
    if (!line || !line->starts_with("ready listen="))
        throw std::runtime_error("the broker is not ready: " + line.value_or("") + process_.errors());
    ready_line_ = *line;
    address_ = word_after(*line, " listen=");
    admin_address_ = word_after(*line, " admin=");
}

unsigned short broker_process::port() const {
    return static_cast<unsigned short>(std::stoul(address_.substr(address_.rfind(':') + 1)));
}

int broker_process::stop() {
    process_.send(SIGTERM);
    const auto code = process_.wait();
    if (!code) throw std::runtime_error("the broker does not end on SIGTERM");
    return *code;
}

std::size_t broker_process::resident_bytes() const {
    std::ifstream file("/proc/" + std::to_string(process_.pid()) + "/statm");
    std::size_t total = 0;
    std::size_t resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

command_result millrace(const broker_process& broker, std::vector<std::string> arguments, const std::string& input) {
    arguments.insert(arguments.begin(), {"--server", broker.address()});
    return run_command(MILLRACE_PATH, arguments, input);
}

}  // namespace millrace::process
