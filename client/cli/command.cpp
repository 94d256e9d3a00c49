#include "client/cli/command.hpp"

#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "millrace/units.hpp"

namespace millrace::cli {

failure failure_of(const error& refused) {
    return {refused.what.empty() ? error_category().message(static_cast<int>(refused.code)) : refused.what, name_of(refused.code)};
}

failure failure_of(const boost::system::error_code& failed, const std::string& refusal) {
    const std::error_code code = failed;
    if (code.category() == error_category()) return failure_of(error{static_cast<errc>(code.value()), refusal});
    return {failed.message() + (refusal.empty() ? "" : ": " + refusal)};
}

void write_out(std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw failure{std::string("cannot write to stdout: ") + std::strerror(errno)};
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

void write_line(std::string line) {
    line += '\n';
    write_out(line);
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, std::function<void(std::chrono::milliseconds)> take, const std::string& help) {
    return app.add_option_function<std::string>(name, [name, take = std::move(take)](const std::string& text) {
        const auto parsed = parse_duration(text);
        if (!parsed) throw CLI::ValidationError(name, parsed.failure().what);
        take(parsed.value());
    }, help)->type_name("DURATION");
}

CLI::Option* add_size(CLI::App& app, const std::string& name, std::function<void(std::uint64_t)> take, const std::string& help) {
    return app.add_option_function<std::string>(name, [name, take = std::move(take)](const std::string& text) {
        const auto parsed = parse_size(text);
        if (!parsed) throw CLI::ValidationError(name, parsed.failure().what);
        take(parsed.value());
    }, help)->type_name("SIZE");
}

}  // namespace millrace::cli
