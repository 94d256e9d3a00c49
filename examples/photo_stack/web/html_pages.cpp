#include "examples/photo_stack/web/html_pages.hpp"

#include "examples/photo_stack/web/edit_request.hpp"
#include "examples/photo_stack/web/parsing/cookies.hpp"
#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/photo_page.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/secrets.hpp"
#include "examples/photo_stack/web/site.hpp"

namespace photo_web {

using answer = boost::asio::awaitable<response>;
using boost::beast::http::verb;

namespace {

constexpr int page_photos = 24;

response see_other(const std::string& location) {
    response r{.status = 303};
    r.headers.emplace_back("Location", location);
    return r;
}

std::optional<std::int64_t> before_in(const visit& v) {
    const auto text = find_field(v.where.query, "before");
    if (!text) return std::nullopt;
    const auto id = parse_id(*text);
    if (!id) throw refusal(400, "bad_request", "'before' is the number of a photo.");
    return id;
}

std::vector<page_data> grid(const std::vector<photo_row>& photos, const photo_links& links) {
    std::vector<page_data> rows;
    for (const auto& p : photos) {
        page_data row{.texts = {{"id", std::to_string(p.id)}, {"photo_title", p.title}}, .lists = {}};
        if (!p.square.empty()) row.lists["square"] = {{.texts = {{"url", links.of(p.id, p.square)}}, .lists = {}}};
        rows.push_back(std::move(row));
    }
    return rows;
}

/// A page's photos; one more than a page was asked for, which tells whether there are older ones.
page_data grid_page(std::vector<photo_row> photos, const photo_links& links) {
    page_data data;
    const bool more = photos.size() > page_photos;
    if (more) {
        photos.resize(page_photos);
        data.lists["older"] = {{.texts = {{"before", std::to_string(photos.back().id)}}, .lists = {}}};
    }
    data.lists["photos"] = grid(photos, links);
    return data;
}

}  // namespace

void html_pages::add_to(route_table& routes) {
    routes.add(verb::get, "/", audience::everybody, body_kind::none, this, &html_pages::home);
    routes.add(verb::get, "/signup", audience::everybody, body_kind::none, this, &html_pages::show_sign_up);
    routes.add(verb::post, "/signup", audience::everybody, body_kind::small, this, &html_pages::sign_up);
    routes.add(verb::get, "/login", audience::everybody, body_kind::none, this, &html_pages::show_log_in);
    routes.add(verb::post, "/login", audience::everybody, body_kind::small, this, &html_pages::log_in);
    routes.add(verb::post, "/logout", audience::users, body_kind::small, this, &html_pages::log_out);
    routes.add(verb::get, "/password", audience::users, body_kind::none, this, &html_pages::show_password);
    routes.add(verb::post, "/password", audience::users, body_kind::small, this, &html_pages::change_password);
    routes.add(verb::get, "/photos", audience::users, body_kind::none, this, &html_pages::gallery);
    routes.add(verb::post, "/photos", audience::users, body_kind::photos, this, &html_pages::upload);
    routes.add(verb::get, "/photos/:", audience::everybody, body_kind::none, this, &html_pages::photo);
    routes.add(verb::post, "/photos/:/edit", audience::users, body_kind::small, this, &html_pages::edit_photo);
    routes.add(verb::post, "/photos/:/delete", audience::users, body_kind::small, this, &html_pages::remove_photo);
    routes.add(verb::get, "/users/:", audience::everybody, body_kind::none, this, &html_pages::profile);
}

// ---- accounts ------------------------------------------------------------------------------------------------------------------

response html_pages::credentials_page(visit& v, const std::string& action, const std::string& fault) const {
    const bool signing_up = action == "/signup";
    page_data data;
    data.texts = {{"action", action}, {"password_use", signing_up ? "new-password" : "current-password"}, {"entered_name", find_field(v.form.texts, "name").value_or("")}};
    data.lists["fault"] = shown_fault(fault);
    data.lists["signing_up"] = shown_if(signing_up);
    return frame_.page(v, "credentials.html", signing_up ? "Sign up" : "Log in", std::move(data));
}

/// Always under a new token: one that somebody planted in the browser before is worth nothing afterwards.
boost::asio::awaitable<void> html_pages::begin_session(visit& v, account who) {
    if (!v.session.empty()) co_await people_.close_session(v.session, session_kind::cookie);
    const auto token = co_await people_.open_session(std::move(who), session_kind::cookie);
    v.new_cookies.push_back(set_cookie(site::session_cookie, token, secure_cookies_));
}

answer html_pages::show_sign_up(visit& v) { co_return credentials_page(v, "/signup", ""); }

answer html_pages::show_log_in(visit& v) { co_return credentials_page(v, "/login", ""); }

answer html_pages::sign_up(visit& v) {
    std::optional<refusal> fault;
    try {
        const auto who = co_await people_.sign_up(find_field(v.form.texts, "name").value_or(""), find_field(v.form.texts, "password").value_or(""));
        co_await begin_session(v, who);
    } catch (const refusal& why) {
        fault = why;
    }
    if (!fault) co_return see_other("/photos");
    auto page = credentials_page(v, "/signup", fault->what());
    page.status = fault->status;
    co_return page;
}

answer html_pages::log_in(visit& v) {
    const auto who = co_await people_.check_password(find_field(v.form.texts, "name").value_or(""), find_field(v.form.texts, "password").value_or(""));
    if (!who) {
        auto page = credentials_page(v, "/login", "Name and password do not belong together.");
        page.status = 403;
        co_return page;
    }
    co_await begin_session(v, *who);
    co_return see_other("/photos");
}

answer html_pages::log_out(visit& v) {
    co_await people_.close_session(v.session, session_kind::cookie);
    v.new_cookies.push_back(set_cookie(site::session_cookie, "", secure_cookies_));
    co_return see_other("/");
}

answer html_pages::show_password(visit& v) { co_return frame_.page(v, "password.html", "Change password", {}); }

answer html_pages::change_password(visit& v) {
    std::optional<refusal> fault;
    try {
        co_await people_.change_password(*v.who, find_field(v.form.texts, "password").value_or(""), find_field(v.form.texts, "new_password").value_or(""));
        co_await begin_session(v, *v.who);
    } catch (const refusal& why) {
        fault = why;
    }
    if (!fault) co_return see_other("/photos");
    page_data data;
    data.lists["fault"] = shown_fault(fault->what());
    auto page = frame_.page(v, "password.html", "Change password", std::move(data));
    page.status = fault->status;
    co_return page;
}

// ---- photos --------------------------------------------------------------------------------------------------------------------

answer html_pages::home(visit& v) {
    auto data = grid_page(co_await hot_.newest(v.written), links_);
    co_return frame_.page(v, "home.html", "Photos", std::move(data));
}

answer html_pages::gallery_page(visit& v, std::optional<std::int64_t> before, std::string fault) {
    auto data = grid_page(co_await hot_.of_user(v.who->id, before, page_photos + 1, v.written), links_);
    data.texts["name"] = v.who->name;
    data.texts["once"] = new_token();
    data.lists["fault"] = shown_fault(fault);
    data.lists["newest"] = shown_if(before.has_value());
    co_return frame_.page(v, "gallery.html", "My photos", std::move(data));
}

answer html_pages::gallery(visit& v) { return gallery_page(v, before_in(v), ""); }

/// The form has a number of its own, so that a doubled click or a reloaded page uploads once.
answer html_pages::upload(visit& v) {
    uploads::wording tell = [](const std::vector<photo_row>&) { return stored_answer{303, ""}; };
    std::optional<refusal> fault;
    try {
        co_await incoming_.add(*v.who, std::move(v.form.files), find_field(v.form.texts, "once"), std::move(tell));
    } catch (const refusal& why) {
        fault = why;
    }
    if (!fault) co_return see_other("/photos");
    auto page = co_await gallery_page(v, std::nullopt, fault->what());
    page.status = fault->status;
    co_return page;
}

answer html_pages::profile(visit& v) {
    const auto owner = co_await hot_.find_user(v.where.segments.at(1), v.written);
    if (!owner) throw not_found();
    const auto before = before_in(v);
    auto data = grid_page(co_await hot_.of_user(owner->id, before, page_photos + 1, v.written), links_);
    data.texts["name"] = owner->name;
    data.lists["newest"] = shown_if(before.has_value());
    co_return frame_.page(v, "profile.html", owner->name, std::move(data));
}

answer html_pages::photo_page(visit& v, std::int64_t id, std::string fault) {
    const auto p = co_await hot_.find(id, v.written);
    if (!p) throw not_found();
    auto data = photo_page_data(*p, v.who && v.who->id == p->user_id, links_, v.form.texts, fault);
    co_return frame_.page(v, "photo.html", p->title, std::move(data));
}

answer html_pages::photo(visit& v) { return photo_page(v, id_in(v, 1), ""); }

/// The form has a number of its own, as that of an upload.
answer html_pages::edit_photo(visit& v) {
    const auto id = id_in(v, 1);
    std::optional<refusal> fault;
    try {
        session owner{*v.who, v.written};
        auto wanted = edit_from_form(v.form.texts);
        edits::wording tell = [](const photo_row&) { return stored_answer{303, ""}; };
        co_await editing_.ask(std::move(owner), id, std::move(wanted), find_field(v.form.texts, "once"), std::move(tell));
    } catch (const refusal& why) {
        fault = why;
    }
    if (!fault) co_return see_other("/photos/" + std::to_string(id));
    if (fault->status == 404) throw *fault;
    auto page = co_await photo_page(v, id, fault->what());
    page.status = fault->status;
    co_return page;
}

answer html_pages::remove_photo(visit& v) {
    co_await incoming_.remove(*v.who, id_in(v, 1), std::nullopt);
    co_return see_other("/photos");
}

}  // namespace photo_web
