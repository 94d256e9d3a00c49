#include "examples/photo_stack/web/json_api.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/web/edit_request.hpp"
#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/sent_form.hpp"

namespace photo_web {

namespace json = boost::json;
using answer = boost::asio::awaitable<response>;
using boost::beast::http::verb;

namespace {

constexpr std::size_t id_segment = 2;  // "/api/photos/ID"
constexpr std::int64_t photos_default = 24;
constexpr std::int64_t photos_max = 100;

response as_json(unsigned status, const json::value& value) { return {.status = status, .type = "application/json", .body = json::serialize(value)}; }

std::optional<std::int64_t> number_in_query(const visit& v, const char* name) {
    const auto text = find_field(v.where.query, name);
    if (!text) return std::nullopt;
    const auto number = parse_id(*text);
    if (!number) throw refusal(400, "bad_request", "'" + std::string(name) + "' is a number from 1.");
    return number;
}

std::optional<std::string> idempotency_key(const visit& v) {
    if (v.headers.count("Idempotency-Key") == 0) return std::nullopt;
    return v.header("Idempotency-Key");
}

void require_json(const visit& v) {
    if (!v.header("Content-Type").starts_with("application/json")) throw refusal(415, "not_json", "This address takes application/json.");
}

/// Two texts of the body.
std::pair<std::string, std::string> read_texts(const visit& v, const std::string& first, const std::string& second) {
    require_json(v);
    json::error_code ec;
    const auto value = json::parse(v.body, ec);
    const auto* object = ec ? nullptr : value.if_object();
    const auto* one = object == nullptr ? nullptr : object->if_contains(first);
    const auto* other = object == nullptr ? nullptr : object->if_contains(second);
    if (one == nullptr || other == nullptr || !one->is_string() || !other->is_string())
        throw refusal(400, "bad_request", "The body is a JSON object with the texts '" + first + "' and '" + second + "'.");
    return {std::string(one->get_string()), std::string(other->get_string())};
}

json::value user_json(const account& who) { return {{"id", who.id}, {"name", who.name}}; }

json::object photo_json(const photo_row& p) {
    json::object out{{"id", p.id},       {"user_id", p.user_id}, {"user", p.user_name},    {"title", p.title},
                     {"bytes", p.bytes}, {"width", p.width},     {"height", p.height},     {"original", photo_stack::path_of_photo_file(p.id, p.original)},
                     {"url", "/api/photos/" + std::to_string(p.id)},
                     {"state", !p.fault.empty() ? "damaged" : p.in_work ? "in_work" : "ready"},
                     {"edit", photo_stack::json_of(p.shown.edit)}};
    if (p.coming) out["next_edit"] = photo_stack::json_of(p.coming->edit);
    if (p.stored_bytes != 0) out["stored_bytes"] = p.stored_bytes;
    if (!p.created_at.empty()) out["created_at"] = p.created_at;
    return out;
}

json::object photo_with_sizes_json(const photo_row& p, const photo_links& links) {
    json::array sizes;
    for (const auto& s : p.shown.sizes) sizes.push_back({{"file", s.file}, {"width", s.width}, {"height", s.height}, {"url", links.of(p.id, s.file)}});
    auto out = photo_json(p);
    out["renditions"] = std::move(sizes);
    return out;
}

template <class Tell>
json::array photos_json(const std::vector<photo_row>& photos, Tell tell) {
    json::array out;
    for (const auto& p : photos) out.push_back(tell(p));
    return out;
}

}  // namespace

void json_api::add_to(route_table& routes) {
    routes.add(verb::post, "/api/users", audience::everybody, body_kind::small, this, &json_api::sign_up);
    routes.add(verb::post, "/api/login", audience::everybody, body_kind::small, this, &json_api::log_in);
    routes.add(verb::post, "/api/logout", audience::users, body_kind::small, this, &json_api::log_out);
    routes.add(verb::post, "/api/password", audience::users, body_kind::small, this, &json_api::change_password);
    routes.add(verb::get, "/api/users/:", audience::everybody, body_kind::none, this, &json_api::user);
    routes.add(verb::get, "/api/users/:/photos", audience::everybody, body_kind::none, this, &json_api::photos_of_user);
    routes.add(verb::post, "/api/photos", audience::users, body_kind::photos, this, &json_api::upload);
    routes.add(verb::get, "/api/photos/:", audience::everybody, body_kind::none, this, &json_api::photo);
    routes.add(verb::put, "/api/photos/:/edit", audience::users, body_kind::small, this, &json_api::edit_photo);
    routes.add(verb::delete_, "/api/photos/:", audience::users, body_kind::none, this, &json_api::remove_photo);
}

answer json_api::sign_up(visit& v) {
    const auto [name, password] = read_texts(v, "name", "password");
    co_return as_json(201, user_json(co_await people_.sign_up(name, password)));
}

answer json_api::log_in(visit& v) {
    const auto [name, password] = read_texts(v, "name", "password");
    const auto who = co_await people_.check_password(name, password);
    if (!who) throw refusal(403, "wrong_credentials", "Name and password do not belong together.");
    co_return co_await logged_in(*who);
}

answer json_api::logged_in(account who) {
    const auto token = co_await people_.open_session(who, session_kind::bearer);
    co_return as_json(200, {{"token", token}, {"user", user_json(who)}});
}

answer json_api::change_password(visit& v) {
    const auto [password, new_password] = read_texts(v, "password", "new_password");
    co_await people_.change_password(*v.who, password, new_password);
    co_return co_await logged_in(*v.who);
}

answer json_api::log_out(visit& v) {
    co_await people_.close_session(v.header("Authorization").substr(std::string_view("Bearer ").size()), session_kind::bearer);
    co_return response{.status = 204};
}

answer json_api::user(visit& v) {
    const auto who = co_await people_.find(id_in(v, id_segment), v.written);
    if (!who) throw not_found();
    co_return as_json(200, user_json(*who));
}

answer json_api::photos_of_user(visit& v) {
    const auto user = id_in(v, id_segment);
    const auto limit = number_in_query(v, "limit").value_or(photos_default);
    if (limit > photos_max) throw refusal(400, "bad_request", "'limit' is at most " + std::to_string(photos_max) + ".");
    auto photos = co_await hot_.of_user(user, number_in_query(v, "before"), static_cast<int>(limit) + 1, v.written);
    if (photos.empty() && !co_await people_.find(user, v.written)) throw not_found();
    json::value next;  // null
    if (photos.size() > static_cast<std::size_t>(limit)) {
        photos.pop_back();
        next = photos.back().id;
    }
    co_return as_json(200, {{"photos", photos_json(photos, photo_json)}, {"next", next}});
}

answer json_api::upload(visit& v) {
    auto sent = read_form(v.header("Content-Type"), v.body);
    uploads::wording tell = [this](const std::vector<photo_row>& photos) {
        const auto with_sizes = [this](const photo_row& p) { return photo_with_sizes_json(p, links_); };
        return stored_answer{201, json::serialize(json::value{{"photos", photos_json(photos, with_sizes)}})};
    };
    auto told = co_await incoming_.add(*v.who, std::move(sent.files), idempotency_key(v), std::move(tell));
    co_return response{.status = told.status, .type = "application/json", .body = std::move(told.text)};
}

answer json_api::photo(visit& v) {
    const auto p = co_await hot_.find(id_in(v, id_segment), v.written);
    if (!p) throw not_found();
    co_return as_json(200, photo_with_sizes_json(*p, links_));
}

answer json_api::edit_photo(visit& v) {
    require_json(v);
    auto wanted = edit_from_json_body(v.body);
    session owner{*v.who, v.written};
    edits::wording tell = [this](const photo_row& photo) { return stored_answer{200, json::serialize(photo_with_sizes_json(photo, links_))}; };
    auto told = co_await editing_.ask(std::move(owner), id_in(v, id_segment), std::move(wanted), idempotency_key(v), std::move(tell));
    co_return response{.status = told.status, .type = "application/json", .body = std::move(told.text)};
}

answer json_api::remove_photo(visit& v) {
    co_await incoming_.remove(*v.who, id_in(v, id_segment), idempotency_key(v));
    co_return response{.status = 204};
}

}  // namespace photo_web
