#include "broker/access.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "millrace/message.hpp"

namespace millrace {
namespace {

constexpr std::size_t file_bytes_max = 4u << 20;
constexpr std::size_t token_bytes_min = 16;
constexpr std::size_t token_bytes_max = 255;
constexpr std::string_view hash_prefix = "sha256:";
constexpr std::string_view make_one = "make one with: openssl rand -hex 32";

error bad(std::string what) { return {errc::invalid_argument, std::move(what)}; }

/// The next word of `line`, which it leaves; "" at its end and before a comment.
std::string_view take_word(std::string_view& line) {
    constexpr std::string_view blanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    if (line.starts_with('#')) line = {};
    const auto word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
}

/// A word as an error may repeat it: one that is as long as a token may be one that stands in the wrong place, and errors go to logs.
std::string shown(std::string_view word) {
    if (word.size() < token_bytes_min) return "'" + std::string(word) + "'";
    return "of " + std::to_string(word.size()) + " characters";
}

error take_rights(std::string_view list, rights& out) {
    if (list == "none") return {};
    while (true) {
        const auto comma = list.find(',');
        const auto word = list.substr(0, comma);
        if (word == name_of(right::publish)) out.publish = true;
        else if (word == name_of(right::consume)) out.consume = true;
        else if (word == name_of(right::admin)) out.admin = true;
        else return bad("the word " + shown(word) + " is no right: a line is NAME RIGHTS TOKEN, and rights are publish, consume and admin with commas between them, or none");
        if (comma == std::string_view::npos) return {};
        list.remove_prefix(comma + 1);
    }
}

int value_of(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

std::optional<token_digest> parse_digest(std::string_view hex) {
    token_digest out{};
    if (hex.size() != 2 * out.size()) return std::nullopt;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto high = value_of(hex[2 * i]), low = value_of(hex[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        out[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return out;
}

/// What is wrong with a token's words never repeats them: it may be somebody's secret, and the error goes to a log.
error take_token(std::string_view word, token_digest& out, bool& plain) {
    if (word.empty()) return bad("there is no token: a line is NAME RIGHTS TOKEN (" + std::string(make_one) + ")");
    if (word.starts_with(hash_prefix)) {
        const auto digest = parse_digest(word.substr(hash_prefix.size()));
        if (!digest) return bad("what follows sha256: is not 64 hexadecimal digits: make them with: printf %s TOKEN | sha256sum");
        out = *digest;
        return {};
    }
    if (word.size() < token_bytes_min || word.size() > token_bytes_max)
        return bad("the token has " + std::to_string(word.size()) + " characters, and may have " + std::to_string(token_bytes_min) + " to " +
                   std::to_string(token_bytes_max) + ": " + std::string(make_one));
    if (std::any_of(word.begin(), word.end(), [](char c) { return c < '!' || c > '~'; }))
        return bad("the token has characters outside printable ASCII: " + std::string(make_one));
    out = digest_of(word);
    plain = true;
    return {};
}

bool is_name(std::string_view name) {
    constexpr std::string_view others = "._-";
    return name.size() <= limits::name_bytes && std::all_of(name.begin(), name.end(), [&](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(static_cast<char>(c)) != others.npos;
    });
}

struct descriptor {
    int number;
    ~descriptor() {
        if (number >= 0) ::close(number);
    }
};

struct secret_file {
    std::string text;
    mode_t mode = 0;
};

result<secret_file> read_file(const std::string& path) {
    const auto refused = [&](const std::string& why) { return bad(path + " cannot be read: " + why); };
    const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe that nobody writes is no reason to hang
    if (file.number < 0) return refused(std::strerror(errno));
    struct stat state {};
    if (::fstat(file.number, &state) != 0) return refused(std::strerror(errno));
    if (!S_ISREG(state.st_mode)) return refused("it is no regular file");
    secret_file out{{}, state.st_mode};
    char piece[8192];
    for (;;) {
        const auto n = ::read(file.number, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return refused(std::strerror(errno));
        if (n == 0) return out;
        out.text.append(piece, static_cast<std::size_t>(n));
        if (out.text.size() > file_bytes_max) return refused("it is longer than " + std::to_string(file_bytes_max) + " bytes: that is no list of tokens");
    }
}

}  // namespace

token_digest digest_of(std::string_view token) {
    token_digest out{};
    ::SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), out.data());
    return out;
}

const char* name_of(right what) noexcept {
    switch (what) {
        case right::look: return "look";
        case right::publish: return "publish";
        case right::consume: return "consume";
        case right::admin: return "admin";
    }
    return "unknown";
}

bool rights::allow(right what) const noexcept {
    switch (what) {
        case right::look: return true;
        case right::publish: return publish;
        case right::consume: return consume;
        case right::admin: return admin;
    }
    return false;
}

bool rights::cover(const rights& others) const noexcept {
    return (publish || !others.publish) && (consume || !others.consume) && (admin || !others.admin);
}

std::string to_string(const rights& r) {
    std::string out;
    for (const auto what : {right::publish, right::consume, right::admin})
        if (r.allow(what)) out += (out.empty() ? "" : ",") + std::string(name_of(what));
    return out.empty() ? "none" : out;
}

result<access_list> access_list::read(const std::string& path) {
    const auto file = read_file(path);
    if (!file) return file.failure();
    if (file.value().mode & S_IWOTH) return bad(path + " may be changed by everybody on this machine: chmod o-w " + path);
    auto list = parse(file.value().text, path);
    if (list && list.value().holds_plain_tokens_ && file.value().mode & S_IROTH)
        return bad(path + " has tokens that everybody on this machine may read: chmod o-r " + path + ", or write sha256:HEX in their place");
    return list;
}

result<access_list> access_list::parse(std::string_view text, const std::string& path) {
    access_list list;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        if (auto refused = list.take_line(text.substr(0, end))) {
            refused.what = path + ", line " + std::to_string(number) + ": " + refused.what;
            return refused;
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (list.entries_.empty()) return bad(path + " names nobody, so that nobody could connect: write lines of NAME RIGHTS TOKEN");
    return list;
}

error access_list::take_line(std::string_view line) {
    entry e;
    e.who.name = take_word(line);
    if (e.who.name.empty()) return {};
    if (!is_name(e.who.name)) return bad("the name " + shown(e.who.name) + " is longer than 255 characters or has others than A-Z a-z 0-9 . _ -");
    if (auto refused = take_rights(take_word(line), e.who.may)) return refused;
    if (auto refused = take_token(take_word(line), e.token, holds_plain_tokens_)) return refused;
    if (!take_word(line).empty()) return bad("more follows the token: a line is NAME RIGHTS TOKEN, and a comment begins with #");
    const auto same = std::find_if(entries_.begin(), entries_.end(), [&](const entry& other) { return other.token == e.token; });
    if (same != entries_.end()) return bad("the token of '" + e.who.name + "' is also one of '" + same->who.name + "': give each its own");
    entries_.push_back(std::move(e));
    return {};
}

std::optional<caller> access_list::find(const token_digest& token) const {
    const entry* found = nullptr;
    for (const auto& e : entries_)
        if (::CRYPTO_memcmp(e.token.data(), token.data(), token.size()) == 0) found = &e;
    return found ? std::optional<caller>(found->who) : std::nullopt;
}

error unknown_token(std::string_view token) {
    if (token.empty()) return {errc::unauthorized, "this broker wants a token: give one with --token-file, MILLRACE_TOKEN or connection_settings::token"};
    return {errc::unauthorized, "this broker does not know the token: ask who keeps its --auth-file"};
}

error missing_right(const caller& who, right missing, std::string_view what) {
    return {errc::forbidden, std::string(what) + " needs the right " + name_of(missing) + ", and the token of '" + who.name + "' has " + to_string(who.may)};
}

}  // namespace millrace
