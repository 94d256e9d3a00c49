#include "tests/process/broker_process.hpp"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace millrace::process {
namespace {

std::vector<std::string> on_a_free_port(const std::vector<std::string>& arguments) {
    if (std::find(arguments.begin(), arguments.end(), "--listen") != arguments.end()) return arguments;
    std::vector<std::string> all{"--listen", "127.0.0.1:0"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
}

}  // namespace

scratch_directory::scratch_directory() {
    auto name = (std::filesystem::temp_directory_path() / "millrace-process-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    path_ = name;
}

scratch_directory::~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

broker_process::broker_process(const std::vector<std::string>& arguments, const std::string& program)
    : process_(program, on_a_free_port(arguments)) {
    const auto line = process_.read_line();
    const std::string expected = "ready listen=";
    if (!line || !line->starts_with(expected))
        throw std::runtime_error("the broker is not ready: " + line.value_or("") + process_.errors());
    ready_line_ = *line;
    const auto end = line->find(' ', expected.size());
    address_ = line->substr(expected.size(), end == std::string::npos ? end : end - expected.size());
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
