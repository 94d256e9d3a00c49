// What stands in a request's first line, and in urlencoded forms, as text of ours.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace photo_web {

/// Name and value, in the order in which they came; names may repeat.
using fields = std::vector<std::pair<std::string, std::string>>;

/// The first value of that name; nothing when there is none.
std::optional<std::string> find_field(const fields& all, std::string_view name);

/// "%41b" → "Ab", and '+' → ' ' when `plus_is_blank`. Nothing when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank);

/// "a=1&b=x%20y" as fields. Nothing when it is wrongly encoded, or has more than `fields_max` of them.
std::optional<fields> parse_urlencoded(std::string_view text);

struct url {
    std::vector<std::string> segments;  // of the path, decoded: "/users/ann" → {"users", "ann"}; "/" → {}
    fields query;
};

/// Of "/path?query". Nothing for what no page of ours has: wrong encoding, an absolute or overlong target, a segment that is empty, "." or "..", or
/// holds a '/' or a control character once decoded.
std::optional<url> parse_target(std::string_view target);

}  // namespace photo_web
