// One request on its way through the site, and what is answered.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/verb.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/event_stream.hpp"
#include "examples/photo_stack/web/parsing/url.hpp"
#include "examples/photo_stack/web/uploads.hpp"

namespace photo_web {

struct response {
    unsigned status = 200;
    std::string type{"text/html; charset=utf-8"};
    std::string body{};
    std::vector<std::pair<std::string, std::string>> headers{};
    std::shared_ptr<event_stream> events{};  // instead of a body
};

/// What a browser's form sent.
struct sent_form {
    fields texts;
    std::vector<uploaded_file> files;
};

struct route;

struct visit {
    // as it came
    boost::beast::http::verb method{};
    std::string target;
    boost::beast::http::fields headers;
    std::string client;  // address
    std::string body;
    std::shared_ptr<void> body_reservation;  // of the memory for it, until the visit ends

    // as it is understood
    url where;
    const route* to = nullptr;
    std::optional<account> who;  // has shown a token
    std::string token;           // that one
    session_kind kind{};
    log_positions written;       // behind the last write of who has shown it
    std::string session;         // the cookie's token, valid or not
    std::string visitor;         // the token of somebody who is not logged in, for forms
    sent_form form;

    std::vector<std::string> new_cookies;  // Set-Cookie headers that go with the answer

    std::string header(std::string_view name) const { return std::string(headers[boost::beast::string_view(name.data(), name.size())]); }
    bool wants_json() const { return !where.segments.empty() && where.segments[0] == "api"; }
};

}  // namespace photo_web
