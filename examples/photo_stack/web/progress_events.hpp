// A photo's progress as it is made: what is there at once, the rest when it comes.
#pragma once

#include "examples/photo_stack/web/live_results.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/routes.hpp"

namespace photo_web {

/// One thread; outlives the routes that it adds.
class progress_events {
public:
    progress_events(database& rows, photo_catalog& catalog, live_results& results) : rows_(rows), catalog_(catalog), results_(results) {}

    void add_to(route_table& routes);

private:
    boost::asio::awaitable<response> of_photo(visit& v);

    database& rows_;
    photo_catalog& catalog_;
    live_results& results_;
};

}  // namespace photo_web
