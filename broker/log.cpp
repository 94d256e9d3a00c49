#include "broker/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <utility>

#include "proto/json.hpp"

namespace millrace {
namespace {

log_format current_format = log_format::text;

/// The fields of the line that this thread is saying: formatting happens within the call.
thread_local const std::initializer_list<log_field>* fields_of_line = nullptr;

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
        append(out, format_time(std::chrono::time_point_cast<std::chrono::microseconds>(msg.time)));
        append(out, "\",\"level\":\"");
        append(out, view(spdlog::level::to_string_view(msg.level)));
        append(out, "\",\"message\":");
        append_json(out, view(msg.payload));
        if (fields_of_line) append_fields(out, *fields_of_line);
        append(out, "}\n");
    }
    std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<json_formatter>(); }

private:
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
