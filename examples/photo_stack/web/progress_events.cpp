#include "examples/photo_stack/web/progress_events.hpp"

#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

void progress_events::add_to(route_table& routes) {
    routes.add(boost::beast::http::verb::get, "/photos/:/events", audience::everybody, body_kind::none, this, &progress_events::of_photo);
}

/// Watches before it looks, so that nothing falls between the two.
boost::asio::awaitable<response> progress_events::of_photo(visit& v) {
    const auto id = id_in(v, 1);
    const auto watch = results_.watch(id);
    auto now = co_await rows_.position(id);  // a replica may not know yet what the workers have done since
    const auto photo = co_await catalog_.find(id, std::move(now));
    if (!photo) throw not_found();
    const auto& version = photo->coming.value_or(photo->shown);
    for (const auto& size : version.sizes) watch->tell_size(size);
    watch->expect(version.number);
    if (!photo->fault.empty()) watch->tell_fault(photo->fault);
    else if (!photo->in_work) watch->tell_end();
    response r{.type = "text/event-stream"};
    r.events = std::shared_ptr<event_stream>(watch, &watch->events());  // as long as the events are sent, it is watched
    co_return r;
}

}  // namespace photo_web
