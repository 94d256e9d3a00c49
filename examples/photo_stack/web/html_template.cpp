#include "examples/photo_stack/web/html_template.hpp"

#include <stdexcept>

#include "examples/photo_stack/web/text_file.hpp"

namespace photo_web {
namespace {

/// The data of a row, and what is around it.
struct scope {
    const page_data& data;
    const scope* around;

    const std::string& text(const std::string& name) const {
        const auto found = data.texts.find(name);
        if (found != data.texts.end()) return found->second;
        if (around == nullptr) throw std::runtime_error("a template asks for the text '" + name + "', which its page does not have");
        return around->text(name);
    }

    const std::vector<page_data>* list(const std::string& name) const {
        const auto found = data.lists.find(name);
        if (found != data.lists.end()) return &found->second;
        return around == nullptr ? nullptr : around->list(name);
    }
};

std::string_view take_until(std::string_view& source, std::string_view mark) {
    const auto at = source.find(mark);
    if (at == std::string_view::npos) throw std::runtime_error("a template lacks '" + std::string(mark) + "'");
    const auto before = source.substr(0, at);
    source.remove_prefix(at + mark.size());
    return before;
}

void render_into(std::string& out, std::string_view source, const scope& around);

/// "{{#name}}" or "{{^name}}" up to its end, which is taken off `source`.
void render_section(std::string& out, std::string_view& source, char kind, const std::string& name, const scope& around) {
    const auto inside = take_until(source, "{{/" + name + "}}");
    const auto* rows = around.list(name);
    const bool empty = rows == nullptr || rows->empty();
    if (kind == '^' && empty) render_into(out, inside, around);
    if (kind == '^' || empty) return;
    for (const auto& row : *rows) render_into(out, inside, scope{row, &around});
}

void render_into(std::string& out, std::string_view source, const scope& around) {
    while (true) {
        const auto at = source.find("{{");
        out += source.substr(0, at);
        if (at == std::string_view::npos) return;
        source.remove_prefix(at + 2);
        if (source.starts_with('{')) {
            source.remove_prefix(1);
            out += around.text(std::string(take_until(source, "}}}")));
            continue;
        }
        const std::string tag(take_until(source, "}}"));
        if (tag.starts_with('#') || tag.starts_with('^')) render_section(out, source, tag[0], tag.substr(1), around);
        else out += escape_html(around.text(tag));
    }
}

}  // namespace

std::vector<page_data> shown_if(bool condition) {
    return std::vector<page_data>(condition ? 1 : 0);
}

std::string escape_html(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += c;
        }
    }
    return out;
}

std::string render(std::string_view source, const page_data& data) {
    std::string out;
    render_into(out, source, scope{data, nullptr});
    return out;
}

template_folder::template_folder(const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) sources_[entry.path().filename().string()] = read_text_file(entry.path());
}

const std::string& template_folder::source(const std::string& file_name) const {
    const auto found = sources_.find(file_name);
    if (found == sources_.end()) throw std::runtime_error("there is no template " + file_name);
    return found->second;
}

std::string template_folder::page(const std::string& file_name, const page_data& data) const {
    auto around = data;
    around.texts["content"] = render(source(file_name), data);
    return render(source("layout.html"), around);
}

}  // namespace photo_web
