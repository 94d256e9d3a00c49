#include "examples/photo_stack/web/photo_page.hpp"

#include <cstdio>

#include "examples/photo_stack/web/secrets.hpp"
#include "examples/photo_workers/renditions.hpp"

namespace photo_web {
namespace {

std::string shown_bytes(std::int64_t bytes) {
    char text[32];
    if (bytes < 1'000'000) std::snprintf(text, sizeof text, "%.0f kB", static_cast<double>(bytes) / 1e3);
    else std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
    return text;
}

/// "2026-01-31T12:00:00Z" as people write it.
std::string shown_time(const std::string& time) { return time.substr(0, 10) + " " + time.substr(11, 5) + " UTC"; }

/// One row for each size, with the formats that it is there in. REQUIRES: files of one size stand together.
std::vector<page_data> shown_sizes(const photo_row& p, const photo_links& links) {
    std::vector<page_data> sizes;
    for (const auto& s : p.shown.sizes) {
        const auto kind = photo_stack::kind_of_size(s.file);
        if (sizes.empty() || sizes.back().texts["kind"] != kind)
            sizes.push_back({.texts = {{"kind", kind}, {"size_width", std::to_string(s.width)}, {"size_height", std::to_string(s.height)}}, .lists = {}});
        sizes.back().lists["formats"].push_back({.texts = {{"url", links.of(p.id, s.file)}, {"format", s.file.substr(s.file.find('.') + 1)}}, .lists = {}});
    }
    return sizes;
}

/// "cropped to 640 × 480, sharpened by 3"; nothing for the original.
std::string shown_edit(const photo_stack::photo_edit& edit) {
    std::string text;
    const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (edit.crop) add("cropped to " + std::to_string(edit.crop->width) + " × " + std::to_string(edit.crop->height));
    if (edit.blur > 0) add("blurred by " + std::to_string(edit.blur));
    if (edit.sharpen > 0) add("sharpened by " + std::to_string(edit.sharpen));
    return text;
}

/// Those that are there, and what is said while there are others to come.
void add_sizes_to(page_data& data, const photo_row& p, const photo_links& links) {
    data.lists["sizes"] = shown_sizes(p, links);
    for (const auto& s : p.shown.sizes)
        for (const auto* format : {"jpg", "webp"})
            if (s.file == photo_stack::file_of_size(p.shown.number, "large", std::string(".") + format))
                data.lists[std::string("large_") + format] = {
                    {.texts = {{"url", links.of(p.id, s.file)}, {"large_width", std::to_string(s.width)}, {"large_height", std::to_string(s.height)}}, .lists = {}}};
    if (!p.in_work) return;
    const auto& coming = p.coming.value_or(p.shown);
    page_data work{.texts = {{"ready", std::to_string(coming.sizes.size())}, {"expected", std::to_string(photos::renditions_of_a_photo())}}, .lists = {}};
    work.texts["next_edit"] = shown_edit(coming.edit);
    work.lists["next_edit"] = shown_if(!work.texts["next_edit"].empty());
    work.lists["replaces"] = shown_if(p.coming.has_value());
    data.lists["in_work"] = {std::move(work)};
}

/// The fields of the form as they were sent, or as the photo's last edit has them.
page_data edit_form(const photo_row& p, const fields& sent, const std::string& fault) {
    const auto& edit = p.coming ? p.coming->edit : p.shown.edit;
    const auto crop = edit.crop.value_or(photos::rectangle{0, 0, p.width, p.height});
    page_data form{.texts = {{"once", new_token()}, {"strength_max", std::to_string(photo_stack::edit_strength_max)}}, .lists = {}};
    const struct {
        const char *field, *text;
        int number;
    } numbers[] = {{"left", "left", crop.left},     {"top", "top", crop.top},   {"width", "crop_width", crop.width}, {"height", "crop_height", crop.height},
                   {"blur", "blur", edit.blur}, {"sharpen", "sharpen", edit.sharpen}};
    for (const auto& n : numbers) form.texts[n.text] = find_field(sent, n.field).value_or(std::to_string(n.number));
    form.lists["edit_fault"] = shown_fault(fault);
    form.lists["edited"] = shown_if(edit != photo_stack::photo_edit{});
    return form;
}

}  // namespace

std::vector<page_data> shown_fault(const std::string& fault) {
    if (fault.empty()) return {};
    return {{.texts = {{"text", fault}}, .lists = {}}};
}

page_data photo_page_data(const photo_row& p, bool own, const photo_links& links, const fields& sent, const std::string& fault) {
    page_data data;
    data.texts = {{"id", std::to_string(p.id)},       {"photo_title", p.title},
                  {"owner", p.user_name},             {"created_at", p.created_at},
                  {"width", std::to_string(p.width)}, {"height", std::to_string(p.height)},
                  {"bytes", shown_bytes(p.bytes)},    {"shown_time", shown_time(p.created_at)},
                  {"original", p.original},           {"edit", shown_edit(p.shown.edit)}};
    data.lists["edit"] = shown_if(!data.texts["edit"].empty());
    data.lists["fault"] = shown_fault(p.fault);
    add_sizes_to(data, p, links);
    data.lists["own"] = shown_if(own);
    if (own && p.fault.empty()) data.lists["edit_form"] = {edit_form(p, sent, fault)};
    return data;
}

}  // namespace photo_web
