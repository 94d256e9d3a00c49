// What the broker says about itself on stderr: a line of text for people, or a JSON object a line for machines. What comes from outside (names, reasons)
// may hold any bytes, and never breaks a line or an object.
#pragma once

#include <spdlog/common.h>
#include <spdlog/formatter.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace {

enum class log_format : std::uint8_t { text, json };

/// spdlog's default logger from now on.
void start_log(log_format format, spdlog::level::level_enum least);

/// [2026-01-31 12:00:00.000] [millraced] [info] message
std::unique_ptr<spdlog::formatter> make_text_formatter();

/// {"time":"2026-01-31T12:00:00.000000Z","level":"info","message":"…","session":7}: time in UTC, then the fields of log_line().
std::unique_ptr<spdlog::formatter> make_json_formatter();

/// A fact that a machine would look for. The message says it too.
class log_field {
public:
    log_field(std::string_view called, std::string_view words) : name(called), text(words) {}
    log_field(std::string_view called, const std::string& words) : name(called), text(words) {}
    log_field(std::string_view called, const char* words) : name(called), text(words) {}
    template <std::integral Number>
    log_field(std::string_view called, Number value) : name(called), number(std::to_string(value)), is_number(true) {}

    std::string_view name;
    std::string_view text;
    std::string number;
    bool is_number = false;
};

/// The line with which the program ends, whatever the level: "millraced: invalid_argument: …", or an object where the log is JSON.
void log_failure(const std::string& line);

/// One line by the default logger.
void log_line(spdlog::level::level_enum level, std::initializer_list<log_field> fields, const std::string& message);

/// Keeps a kind of line that others provoke from filling the disk: so many of it in each period, then how many were left out.
class log_limit {
public:
    explicit log_limit(std::uint32_t lines = 20, std::chrono::seconds period = std::chrono::seconds{10}) : lines_(lines), period_(period) {}

    /// Whether one more may be said.
    bool take(timestamp now);

    /// How many were left out in a period that is over, once. Call it now and then.
    std::uint64_t left_out(timestamp now);

    std::chrono::seconds period() const { return period_; }

private:
    std::uint32_t lines_;
    std::chrono::seconds period_;
    timestamp began_{};
    std::uint32_t taken_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t told_later_ = 0;  // of earlier periods
};

}  // namespace millrace
