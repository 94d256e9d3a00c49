#include "broker/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <ctime>
#include <utility>

namespace millrace {
namespace {

log_format current_format = log_format::text;

/// The fields of the line that this thread is saying: formatting happens within the call.
thread_local const std::initializer_list<log_field>* fields_of_line = nullptr;

/// Length of the UTF-8 sequence at the start of `text`; 0 when it is none (overlong forms and surrogates are none).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto lead = byte(0);
    if (lead < 0x80) return 1;
    const std::size_t length = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    const bool too_large = lead == 0xF4 && byte(1) >= 0x90;
    return overlong || surrogate || too_large ? 0 : length;
}

/// Calls `plain` with a character to be kept, `odd` with a byte that is none or that controls a terminal.
template <class Plain, class Odd>
void for_each_character(std::string_view text, Plain plain, Odd odd) {
    while (!text.empty()) {
        const auto length = utf8_length(text);
        const auto first = static_cast<unsigned char>(text.front());
        if (length == 0 || first < 0x20 || first == 0x7f)
            odd(first, length != 0);
        else
            plain(text.substr(0, length));
        text.remove_prefix(length == 0 ? 1 : length);
    }
}

void append(spdlog::memory_buf_t& out, std::string_view text) { out.append(text.data(), text.data() + text.size()); }

void append_text(spdlog::memory_buf_t& out, std::string_view text) {
    for_each_character(
        text, [&](std::string_view c) { append(out, c); },
        [&](unsigned char byte, bool) {
            if (byte == '\n') return append(out, "\\n");
            append(out, fmt::format("\\x{:02x}", byte));
        });
}

void append_json(spdlog::memory_buf_t& out, std::string_view text) {
    append(out, "\"");
    for_each_character(
        text,
        [&](std::string_view c) {
            if (c == "\"" || c == "\\") append(out, "\\");
            append(out, c);
        },
        [&](unsigned char byte, bool is_character) { append(out, is_character ? fmt::format("\\u{:04x}", byte) : "\\ufffd"); });
    append(out, "\"");
}

std::string_view view(spdlog::string_view_t text) { return {text.data(), text.size()}; }

class text_formatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
        spdlog::memory_buf_t payload;
        append_text(payload, view(msg.payload));
        auto clean = msg;
        clean.payload = {payload.data(), payload.size()};
        pattern_.format(clean, out);
    }
    std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<text_formatter>(); }

private:
    spdlog::pattern_formatter pattern_{"[%Y-%m-%d %H:%M:%S.%e] [%n] [%l] %v"};
};

class json_formatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
        append(out, "{\"time\":\"");
        append_time(out, std::chrono::time_point_cast<std::chrono::microseconds>(msg.time));
        append(out, "\",\"level\":\"");
        append(out, view(spdlog::level::to_string_view(msg.level)));
        append(out, "\",\"message\":");
        append_json(out, view(msg.payload));
        if (fields_of_line) append_fields(out, *fields_of_line);
        append(out, "}\n");
    }
    std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<json_formatter>(); }

private:
    static void append_time(spdlog::memory_buf_t& out, timestamp moment) {
        const auto second = std::chrono::floor<std::chrono::seconds>(moment);
        const std::time_t whole = second.time_since_epoch().count();
        std::tm parts{};
        ::gmtime_r(&whole, &parts);
        append(out, fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                                parts.tm_min, parts.tm_sec, (moment - second).count()));
    }
    static void append_fields(spdlog::memory_buf_t& out, const std::initializer_list<log_field>& fields) {
        for (const auto& f : fields) {
            append(out, ",");
            append_json(out, f.name);
            append(out, ":");
            if (f.is_number) append(out, f.number);
            else append_json(out, f.text);
        }
    }
};

}  // namespace

std::unique_ptr<spdlog::formatter> make_text_formatter() { return std::make_unique<text_formatter>(); }
std::unique_ptr<spdlog::formatter> make_json_formatter() { return std::make_unique<json_formatter>(); }

void start_log(log_format format, spdlog::level::level_enum least) {
    current_format = format;
    auto logger = std::make_shared<spdlog::logger>("millraced", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(format == log_format::json ? make_json_formatter() : make_text_formatter());
    logger->set_level(least);
    spdlog::set_default_logger(std::move(logger));
}

void log_line(spdlog::level::level_enum level, std::initializer_list<log_field> fields, const std::string& message) {
    fields_of_line = &fields;
    spdlog::default_logger_raw()->log(level, spdlog::string_view_t(message.data(), message.size()));
    fields_of_line = nullptr;
}

void log_failure(const std::string& line) {
    if (current_format == log_format::text) {
        std::fprintf(stderr, "millraced: %s\n", line.c_str());
        return;
    }
    spdlog::default_logger()->set_level(spdlog::level::critical);
    log_line(spdlog::level::critical, {}, line);
}

bool log_limit::take(timestamp now) {
    if (now - began_ >= period_) {
        told_later_ += std::exchange(refused_, 0);
        began_ = now;
        taken_ = 0;
    }
    if (taken_ < lines_) {
        ++taken_;
        return true;
    }
    ++refused_;
    return false;
}

std::uint64_t log_limit::left_out(timestamp now) {
    if (now - began_ >= period_) told_later_ += std::exchange(refused_, 0);
    return std::exchange(told_later_, 0);
}

}  // namespace millrace
