#include "broker/config_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace millrace {
namespace {

constexpr std::string_view blanks = " \t\r";
constexpr const char* what_a_value_is = "write \"text\", a whole number, true or false";

error bad(std::string what) { return {errc::invalid_argument, std::move(what)}; }

void skip_blanks(std::string_view& line) { line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size())); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_key_character(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_'; }

std::string_view take_key(std::string_view& line) {
    const auto end = std::find_if_not(line.begin(), line.end(), is_key_character);
    const auto word = line.substr(0, static_cast<std::size_t>(end - line.begin()));
    line.remove_prefix(word.size());
    return word;
}

std::optional<char> escaped(char c) {
    switch (c) {
        case '"':
        case '\\': return c;
        case 'n': return '\n';
        case 't': return '\t';
        default: return std::nullopt;
    }
}

error take_quoted(std::string_view& line, std::string& out) {
    const char quote = line.front();
    for (std::size_t i = 1; i < line.size(); ++i) {
        if (line[i] == quote) {
            line.remove_prefix(i + 1);
            return {};
        }
        if (quote == '\'' || line[i] != '\\') {
            out += line[i];
            continue;
        }
        const auto meant = i + 1 < line.size() ? escaped(line[i + 1]) : std::nullopt;
        if (!meant) return bad("a backslash stands before \", \\, n or t, or in 'single quotes'");
        out += *meant;
        ++i;
    }
    return bad(std::string("the text does not end: ") + quote + " is missing");
}

error take_value(std::string_view& line, config_value& out) {
    if (line.starts_with('"') || line.starts_with('\'')) {
        out.type = config_value::kind::text;
        return take_quoted(line, out.value);
    }
    const auto word = line.substr(0, line.find_first_of(" \t\r#"));
    line.remove_prefix(word.size());
    out.value = std::string(word);
    out.type = word == "true" || word == "false" ? config_value::kind::boolean : config_value::kind::number;
    if (out.type == config_value::kind::boolean) return {};
    const auto digits = word.substr(word.starts_with('-') ? 1 : 0);
    const bool is_number = !digits.empty() && is_digit(digits.front()) && is_digit(digits.back()) &&
                           std::all_of(digits.begin(), digits.end(), [](char c) { return is_digit(c) || c == '_'; });
    if (!is_number) return bad("'" + std::string(word) + "' is no value: " + what_a_value_is);
    std::erase(out.value, '_');
    return {};
}

/// An empty key for a line that says nothing.
error take_line(std::string_view line, config_value& out) {
    skip_blanks(line);
    if (line.empty() || line.front() == '#') return {};
    if (line.front() == '[') return bad("there are no tables here: each option stands on a line of its own, as max-connections = 10000");
    out.key = std::string(take_key(line));
    skip_blanks(line);
    if (out.key.empty() || !line.starts_with('=')) return bad("a line is OPTION = VALUE: " + std::string(what_a_value_is));
    line.remove_prefix(1);
    skip_blanks(line);
    if (line.empty() || line.front() == '#') return bad(out.key + " has no value: " + what_a_value_is);
    if (auto refused = take_value(line, out)) {
        refused.what = out.key + ": " + refused.what;
        return refused;
    }
    skip_blanks(line);
    if (!line.empty() && line.front() != '#') return bad(out.key + ": more follows the value: a comment begins with #");
    return {};
}

}  // namespace

const char* name_of(config_value::kind type) noexcept {
    switch (type) {
        case config_value::kind::text: return "text in quotes";
        case config_value::kind::number: return "a whole number";
        case config_value::kind::boolean: return "true or false";
    }
    return "unknown";
}

result<std::vector<config_value>> read_config_file(const std::string& path) {
    std::error_code ignored;  // opening it says why
    if (const auto type = std::filesystem::status(path, ignored).type(); type == std::filesystem::file_type::directory)
        return bad(path + " cannot be read: it is a directory");
    std::ifstream file(path, std::ios::binary);
    if (!file) return bad(path + " cannot be read: " + std::strerror(errno));
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return parse_config(text, path);
}

result<std::vector<config_value>> parse_config(std::string_view text, const std::string& path) {
    std::vector<config_value> values;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        config_value v;
        v.line = number;
        auto refused = take_line(text.substr(0, end), v);
        const auto same = std::find_if(values.begin(), values.end(), [&](const config_value& other) { return other.key == v.key; });
        if (!refused && !v.key.empty() && same != values.end()) refused = bad(v.key + " stands in line " + std::to_string(same->line) + " already");
        if (refused) return bad(path + ", line " + std::to_string(number) + ": " + refused.what);
        if (!v.key.empty()) values.push_back(std::move(v));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return values;
}

}  // namespace millrace
