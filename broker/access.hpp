// Who may do what: the tokens that clients present in Hello and on admin HTTP, and the rights of each, from a file.
//
//   # NAME   RIGHTS           TOKEN
//   web      publish          sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//   workers  publish,consume  VrT9yq0Zc5Xn7wK2hJ4mPa
//   graphs   none             sha256:…              looks at topics and subscriptions, and changes nothing
//
// A name may stand on several lines, each with a token of its own, so that a token is replaced without a moment in which neither works. In memory
// there are hashes only. The class has no state but the list: main reads it, and reads it again on SIGHUP. Thread-safe as long as it is not assigned to.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/error.hpp"

namespace millrace {

/// SHA-256 of a token.
using token_digest = std::array<std::uint8_t, 32>;
token_digest digest_of(std::string_view token);

/// What a request needs. `look`: any known token.
enum class right : std::uint8_t { look, publish, consume, admin };

/// "publish"
const char* name_of(right what) noexcept;

/// None implies another: an admin may not publish unless its line says so.
struct rights {
    bool publish = false;
    bool consume = false;
    bool admin = false;

    bool allow(right what) const noexcept;
    /// Whether these allow everything that `others` allow.
    bool cover(const rights& others) const noexcept;
    bool operator==(const rights&) const = default;
};

/// "publish,consume", or "none"
std::string to_string(const rights& r);

/// Somebody whose token was known.
struct caller {
    std::string name;
    rights may;

    bool operator==(const caller&) const = default;
};

class access_list {
public:
    /// Errors: invalid_argument with the file, the line, and what to do; also when everybody on the machine may change the file, or read tokens in it that
    /// are not hashed, and when it names nobody.
    static result<access_list> read(const std::string& path);

    /// The same of a file's content; `path` is for its errors.
    static result<access_list> parse(std::string_view text, const std::string& path);

    /// Whose token this is. The time it takes depends on the length of the list alone.
    std::optional<caller> find(std::string_view token) const { return find(digest_of(token)); }
    std::optional<caller> find(const token_digest& token) const;

    std::size_t size() const { return entries_.size(); }

    /// Whether some token stands in the file as it is.
    bool holds_plain_tokens() const { return holds_plain_tokens_; }

private:
    struct entry {
        token_digest token{};
        caller who;
    };

    error take_line(std::string_view line);

    std::vector<entry> entries_;
    bool holds_plain_tokens_ = false;
};

/// unauthorized, with what to do: nobody has the token, or there is none.
error unknown_token(std::string_view token);

/// forbidden: `who` may not do what needs `missing`. `what` is the request, for people.
error missing_right(const caller& who, right missing, std::string_view what);

}  // namespace millrace
