// Pages from files, in the part of Mustache that they need:
//
//   {{name}}            a text, escaped for HTML and for attributes in double quotes
//   {{{name}}}          a text that is HTML already
//   {{#list}}…{{/list}} once for each row; names that the row does not have are looked up around it
//   {{^list}}…{{/list}} once when the list is empty or missing
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace photo_web {

struct page_data {
    std::map<std::string, std::string> texts;
    std::map<std::string, std::vector<page_data>> lists;
};

/// A list of one empty row, or of none: what a condition is to a template.
std::vector<page_data> shown_if(bool condition);

std::string escape_html(std::string_view text);

/// Throws std::runtime_error when a tag is not closed, or a name is in neither the data nor around it: a page with holes is not sent.
std::string render(std::string_view source, const page_data& data);

/// All templates of a folder, by the names of their files; read once.
class template_folder {
public:
    /// Throws std::runtime_error when a file cannot be read.
    explicit template_folder(const std::filesystem::path& folder);

    /// The page within layout.html, whose {{{content}}} it is. Throws std::runtime_error when there is no such file.
    std::string page(const std::string& file_name, const page_data& data) const;

private:
    const std::string& source(const std::string& file_name) const;

    std::map<std::string, std::string> sources_;
};

}  // namespace photo_web
