#include "tests/admin/exposition.hpp"

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace millrace {
namespace {

bool is_name(const std::string& text, bool colon) {
    if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
    for (const char c : text) {
        const auto letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
        if (!letter && !(c >= '0' && c <= '9')) return false;
    }
    return true;
}

struct sample {
    std::string name;
    std::vector<std::pair<std::string, std::string>> labels;
    double value = 0;
    std::string series;  // name and labels, as written
};

double parse_value(const std::string& text) {
    if (text == "+Inf") return std::numeric_limits<double>::infinity();
    std::size_t used = 0;
    const auto value = std::stod(text, &used);
    if (used != text.size() || std::isspace(static_cast<unsigned char>(text[0]))) throw std::runtime_error("no number");
    return value;
}

/// A label's value from after its opening quote; `at` comes to stand after the closing one.
std::string parse_quoted(const std::string& line, std::size_t& at) {
    std::string value;
    for (; line.at(at) != '"'; ++at) {
        if (line[at] != '\\') {
            value += line[at];
            continue;
        }
        const char escaped = line.at(++at);
        if (escaped != '\\' && escaped != '"' && escaped != 'n') throw std::runtime_error("an unknown escape");
        value += escaped == 'n' ? '\n' : escaped;
    }
    ++at;
    return value;
}

sample parse_sample(const std::string& line) {
    sample s;
    auto at = line.find_first_of("{ ");
    if (at == std::string::npos) throw std::runtime_error("no value");
    s.name = line.substr(0, at);
    if (!is_name(s.name, true)) throw std::runtime_error("a bad name");
    if (line[at] == '{') {
        ++at;
        while (line.at(at) != '}') {
            const auto equals = line.find("=\"", at);
            if (equals == std::string::npos) throw std::runtime_error("a bad label");
            const auto name = line.substr(at, equals - at);
            if (!is_name(name, false)) throw std::runtime_error("a bad label name");
            for (const auto& [other, value] : s.labels)
                if (other == name) throw std::runtime_error("a label twice");
            at = equals + 2;
            s.labels.emplace_back(name, parse_quoted(line, at));
            if (line.at(at) == ',') ++at;
        }
        ++at;
    }
    if (line.at(at) != ' ') throw std::runtime_error("no space before the value");
    s.series = line.substr(0, at);
    s.value = parse_value(line.substr(at + 1));
    return s;
}

/// One family while its lines come.
class family {
public:
    family(std::string name, std::string type) : name_(std::move(name)), type_(std::move(type)) {
        if (type_ == "counter" && !name_.ends_with("_total")) throw std::runtime_error("a counter's name ends in _total");
    }

    void take(const sample& s) {
        if (!std::isfinite(s.value) || (type_ != "gauge" && s.value < 0)) throw std::runtime_error("a value that cannot be");
        if (type_ != "histogram") {
            if (s.name != name_) throw std::runtime_error("a sample of another family");
            return;
        }
        auto labels = s.labels;
        if (s.name == name_ + "_bucket") {
            if (labels.empty() || labels.back().first != "le") throw std::runtime_error("a bucket ends with its le");
            const auto bound = parse_value(labels.back().second);
            labels.pop_back();
            auto& h = histograms_[labels];
            if (h.bound && (bound <= *h.bound || s.value < h.in_bucket)) throw std::runtime_error("buckets are ascending and cumulative");
            h.bound = bound;
            h.in_bucket = s.value;
        } else if (s.name == name_ + "_sum") {
            histograms_[labels].has_sum = true;
        } else if (s.name == name_ + "_count") {
            histograms_[labels].count = s.value;
        } else {
            throw std::runtime_error("a sample of another family");
        }
    }

    void end() const {
        for (const auto& [labels, h] : histograms_)
            if (!h.bound || !std::isinf(*h.bound) || !h.has_sum || h.count != h.in_bucket) throw std::runtime_error(name_ + " is an incomplete histogram");
    }

private:
    struct histogram {
        std::optional<double> bound;
        double in_bucket = 0;
        bool has_sum = false;
        std::optional<double> count;
    };

    std::string name_;
    std::string type_;
    std::map<std::vector<std::pair<std::string, std::string>>, histogram> histograms_;
};

class reader {
public:
    void take(const std::string& line) {
        if (line.starts_with("# HELP ")) {
            const auto space = line.find(' ', 7);
            helped_ = line.substr(7, space - 7);
            if (space == std::string::npos || space + 1 == line.size()) throw std::runtime_error("no words of help");
        } else if (line.starts_with("# TYPE ")) {
            take_type(line.substr(7));
        } else {
            if (!current_) throw std::runtime_error("a sample without a family");
            const auto s = parse_sample(line);
            current_->take(s);
            if (!values_.emplace(s.series, s.value).second) throw std::runtime_error("a series twice");
        }
    }

    series_values end() {
        if (current_) current_->end();
        return std::move(values_);
    }

private:
    void take_type(const std::string& rest) {
        const auto space = rest.find(' ');
        const auto name = rest.substr(0, space);
        const auto type = rest.substr(space + 1);
        if (!is_name(name, true) || name != helped_) throw std::runtime_error("TYPE follows the HELP of its family");
        if (!name.starts_with("millrace_")) throw std::runtime_error("every family is millrace_…");
        if (type != "counter" && type != "gauge" && type != "histogram") throw std::runtime_error("an unknown type");
        if (!names_.insert(name).second) throw std::runtime_error("a family twice");
        if (current_) current_->end();
        current_.emplace(name, type);
    }

    std::string helped_;
    std::optional<family> current_;
    std::set<std::string> names_;
    series_values values_;
};

}  // namespace

series_values parse_exposition(const std::string& text) {
    if (text.empty() || text.back() != '\n') throw std::runtime_error("the last line has no end");
    reader all;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        try {
            all.take(line);
        } catch (const std::exception& why) {
            throw std::runtime_error(std::string(why.what()) + ": " + line);
        }
    }
    return all.end();
}

double value_of(const series_values& all, const std::string& series) {
    const auto found = all.find(series);
    if (found == all.end()) throw std::runtime_error("there is no series " + series);
    return found->second;
}

}  // namespace millrace
