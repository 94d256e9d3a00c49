#include "examples/photo_stack/web/sent_form.hpp"

#include "examples/photo_stack/web/parsing/multipart.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {
namespace {

sent_form from_parts(const std::vector<form_part>& parts) {
    sent_form form;
    for (const auto& part : parts) {
        const bool nothing_chosen = part.file_name && part.file_name->empty() && part.content.empty();
        if (nothing_chosen) continue;
        if (part.file_name) form.files.push_back({*part.file_name, std::string(part.content)});
        else form.texts.emplace_back(part.name, part.content);
    }
    return form;
}

}  // namespace

sent_form read_form(const std::string& content_type, const std::string& body) {
    if (const auto boundary = multipart_boundary(content_type)) {
        const auto parts = parse_multipart(body, *boundary);
        if (!parts) throw refusal(400, "broken_form", "The upload is broken: it does not end where its parts say.");
        return from_parts(*parts);
    }
    if (!content_type.starts_with("application/x-www-form-urlencoded"))
        throw refusal(415, "not_a_form", "A form is sent as application/x-www-form-urlencoded or multipart/form-data.");
    auto texts = parse_urlencoded(body);
    if (!texts) throw refusal(400, "broken_form", "The form is broken: it is wrongly encoded.");
    return {std::move(*texts), {}};
}

}  // namespace photo_web
