// A file of tokens: who is in it is found by the token that stands there and by no other, and what is wrong with it never shows one.
#include "broker/access.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
    constexpr std::string_view blanks = " \t\r";
    std::vector<std::string_view> words;
    while (true) {
        const auto begin = line.find_first_not_of(blanks);
        if (begin == std::string_view::npos || line[begin] == '#') return words;
        line.remove_prefix(begin);
        words.push_back(line.substr(0, line.find_first_of(blanks)));
        line.remove_prefix(words.back().size());
    }
}

template <class Each>
void for_each_line(std::string_view text, Each each) {
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        each(words_of(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

/// Whatever is as long as a token may be one, also where a name was left out and it stands in the place of rights.
void hide_tokens(std::string_view text, const std::string& shown) {
    std::string names;
    for_each_line(text, [&](const std::vector<std::string_view>& words) {
        if (!words.empty()) names += std::string(words[0]) + "\n";
    });
    for_each_line(text, [&](const std::vector<std::string_view>& words) {
        for (std::size_t i = 1; i < words.size(); ++i)
            if (words[i].size() >= 16 && words[i].find('\'') == std::string_view::npos && names.find(words[i]) == std::string::npos) must(shown.find(words[i]) == std::string::npos, "an error shows no token", shown);
    });
}

std::string hex(const token_digest& digest) {
    std::string out;
    for (const auto byte : digest)
        for (const auto digit : {byte >> 4, byte & 15}) out += "0123456789abcdef"[digit];
    return out;
}

}  // namespace

void token_file(input in) {
    const auto text = text_of(in);
    const auto parsed = access_list::parse(text, "PATH");
    if (!parsed) {
        must(parsed.failure().code == errc::invalid_argument && parsed.failure().what.starts_with("PATH"), "who refuses says where", parsed.failure().what);
        return hide_tokens(text, parsed.failure().what);
    }
    const auto& list = parsed.value();
    std::size_t lines = 0;
    std::string hashed;
    for_each_line(text, [&](const std::vector<std::string_view>& words) {
        if (words.empty()) return;
        ++lines;
        must(words.size() == 3, "a line is a name, rights and a token");
        const auto is_hash = words[2].starts_with("sha256:");
        hashed += std::string(words[0]) + "\t" + std::string(words[1]) + "\t" + (is_hash ? std::string(words[2]) : "sha256:" + hex(digest_of(words[2]))) + "\n";
        if (is_hash) return;
        const auto who = list.find(words[2]);
        must(who && who->name == words[0], "a token names who has it", words[0]);
        must(who->may.allow(right::look) && (words[1] == "none") == (to_string(who->may) == "none"), "it has the rights of its line", words[1]);
        must(who->may.publish == (words[1].find("publish") != std::string_view::npos) && who->may.admin == (words[1].find("admin") != std::string_view::npos),
             "and no others", words[1]);
    });
    must(list.size() == lines && lines > 0, "each line is somebody");
    must(!list.find("") && !list.find("nobody has this token"), "a stranger is nobody");
    const auto again = access_list::parse(hashed, "PATH");
    must(again && again.value().size() == lines && !again.value().holds_plain_tokens(), "hashes stand for the tokens");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(token_file)
