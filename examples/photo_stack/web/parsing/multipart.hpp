// multipart/form-data (RFC 7578): how a browser sends files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace photo_web {

struct form_part {
    std::string name;
    std::optional<std::string> file_name;  // as the sender says; never a path of ours
    std::string_view content;              // within the body
};

/// The boundary in a Content-Type header. Nothing when it is another type, or the boundary is missing, longer than 70 characters or strangely written.
std::optional<std::string> multipart_boundary(std::string_view content_type);

/// The parts of a body, whose bytes they point to. Nothing when it is not well formed to its last boundary, a part has no name, or there are more than
/// `parts_max`: half an upload is no upload.
std::optional<std::vector<form_part>> parse_multipart(std::string_view body, std::string_view boundary);

}  // namespace photo_web
