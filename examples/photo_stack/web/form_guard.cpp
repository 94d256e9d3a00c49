#include "examples/photo_stack/web/form_guard.hpp"

#include "examples/photo_stack/web/parsing/cookies.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/secrets.hpp"

namespace photo_web {

std::string form_guard::token_of(const visit& v) const {
    return keyed_digest_of(secret_, v.who ? "session " + v.session : "visitor " + v.visitor);
}

std::string form_guard::token_for(visit& v) const {
    if (!v.who && v.visitor.empty()) {
        v.visitor = new_token();
        v.new_cookies.push_back(set_cookie(visitor_cookie, v.visitor, secure_cookies_));
    }
    return token_of(v);
}

void form_guard::require_own(const visit& v) const {
    const bool from_a_cookie = v.who ? !v.session.empty() : !v.visitor.empty();
    const auto sent = find_field(v.form.texts, field);
    if (!from_a_cookie || !sent || !same_secret(*sent, token_of(v)))
        throw refusal(403, "form_expired", "This form is not from a page that you have open here. Go back, reload the page, and try again.");
}

}  // namespace photo_web
