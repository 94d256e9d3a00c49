// A configuration file.
#include <set>

#include "broker/config_file.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (c == '\n') out += "\\n";
        else out += c;
    }
    return out + "\"";
}

std::string written(const std::vector<config_value>& values) {
    std::string out;
    for (const auto& v : values) out += v.key + "=" + (v.type == config_value::kind::text ? quoted(v.value) : v.value) + "\n";
    return out;
}

bool is_of_its_kind(const config_value& v) {
    switch (v.type) {
        case config_value::kind::text: return true;
        case config_value::kind::boolean: return v.value == "true" || v.value == "false";
        case config_value::kind::number: return v.value.find_first_not_of("0123456789", v.value.starts_with('-') ? 1 : 0) == std::string::npos && v.value.back() != '-';
    }
    return false;
}

}  // namespace

void config_file(input in) {
    const auto parsed = parse_config(text_of(in), "PATH");
    if (!parsed) {
        must(parsed.failure().code == errc::invalid_argument && parsed.failure().what.starts_with("PATH, line "), "who refuses says where", parsed.failure().what);
        return;
    }
    std::set<std::string> keys;
    std::size_t line = 0;
    for (const auto& v : parsed.value()) {
        must(!v.key.empty() && keys.insert(v.key).second, "each key once", v.key);
        must(is_of_its_kind(v), "a value is of its kind", v.value);
        must(v.line > line, "values come in the file's order");
        line = v.line;
    }
    const auto again = parse_config(written(parsed.value()), "PATH");
    must(again && again.value().size() == parsed.value().size(), "what was read can be written");
    for (std::size_t i = 0; i < again.value().size(); ++i) {
        const auto &a = parsed.value()[i], &b = again.value()[i];
        must(a.key == b.key && a.value == b.value && a.type == b.type, "a value reads as it was written", a.key);
    }
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(config_file)
