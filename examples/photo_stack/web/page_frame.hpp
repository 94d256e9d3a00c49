// A template as an answer, with what stands around every page: who is logged in, and the token of its forms.
#pragma once

#include <string>

#include "examples/photo_stack/web/form_guard.hpp"
#include "examples/photo_stack/web/html_template.hpp"
#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

class page_frame {
public:
    page_frame(const template_folder& templates, const form_guard& forms) : templates_(templates), forms_(forms) {}

    response page(visit& v, const std::string& file_name, const std::string& title, page_data data) const {
        data.texts["title"] = title;
        data.texts["form_token"] = forms_.token_for(v);
        if (v.who) data.lists["user"] = {{.texts = {{"name", v.who->name}}, .lists = {}}};
        return {.body = templates_.page(file_name, data)};
    }

private:
    const template_folder& templates_;
    const form_guard& forms_;
};

}  // namespace photo_web
