// Why a request is not answered with what it asks for: a page for people, JSON for programs, from one place.
#pragma once

#include <stdexcept>
#include <string>

namespace photo_web {

struct refusal : std::runtime_error {
    /// `code` is for programs ("name_taken"), `text` a sentence for people.
    refusal(unsigned http_status, std::string word, const std::string& text) : std::runtime_error(text), status(http_status), code(std::move(word)) {}

    unsigned status;
    std::string code;
};

inline refusal not_found() { return {404, "not_found", "There is nothing here."}; }

}  // namespace photo_web
