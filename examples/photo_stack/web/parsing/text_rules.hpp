// What names, passwords, titles and keys may look like. Each answers with what is wrong, as a sentence for people, or with nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace photo_web {

std::optional<std::string> fault_in_user_name(std::string_view name);
std::optional<std::string> fault_in_password(std::string_view password);
std::optional<std::string> fault_in_idempotency_key(std::string_view key);

/// A title from a file's name: without folders, control characters and bytes that are not UTF-8, and not longer than a title may be.
std::string title_from_file_name(std::string_view file_name);

/// A row's number as it stands in a URL: digits alone, from 1 up to what the database holds.
std::optional<std::int64_t> parse_id(std::string_view text);

}  // namespace photo_web
