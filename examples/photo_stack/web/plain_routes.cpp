#include "examples/photo_stack/web/plain_routes.hpp"

#include "examples/photo_stack/web/parsing/image_kind.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

using answer = boost::asio::awaitable<response>;
using boost::beast::http::verb;

void plain_routes::add_to(route_table& routes) {
    const auto add = [&](const char* path, answer (plain_routes::*handler)(visit&)) {
        routes.add(verb::get, path, audience::everybody, body_kind::none, this, handler);
    };
    add("/media/:/:", &plain_routes::media);
    add("/healthz", &plain_routes::alive);
    add("/readyz", &plain_routes::ready);
}

/// Sizes are for everybody, without a look into the database: their address never means other bytes. An original has its metadata still, where it
/// was taken among them, and is for its owner.
answer plain_routes::media(visit& v) {
    const auto photo = id_in(v, 1);
    const auto file = v.where.segments.at(2);
    const bool is_original = file.starts_with("original.");
    if (is_original) {
        const auto row = co_await catalog_.find(photo, v.written);
        if (!row || !v.who || row->user_id != v.who->id) throw not_found();
    }
    auto reading = [this, id = photo, file] { return files_.read(id, file); };
    auto content = co_await disk_.run(std::move(reading));
    if (!content) throw not_found();
    response r{.type = media_type_of(file), .body = std::move(*content)};
    r.headers.emplace_back("Cache-Control", is_original ? "private, no-store" : "public, max-age=31536000, immutable");
    co_return r;
}

/// That this process answers; whoever restarts processes asks this. A database that is away is not mended by a restart.
answer plain_routes::alive(visit&) { co_return response{.type = "text/plain", .body = "ok\n"}; }

/// That it can do its work; whoever sends it work asks this.
answer plain_routes::ready(visit& v) {
    co_await catalog_.newest(1, v.written);
    co_await disk_.run([this] { files_.check(); });
    co_return response{.type = "text/plain", .body = "ready\n"};
}

}  // namespace photo_web
