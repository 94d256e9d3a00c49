// What is neither page nor JSON: the photos' files, and how the server is.
#pragma once

#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/routes.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

/// One thread; outlives the routes that it adds.
class plain_routes {
public:
    plain_routes(photo_catalog& catalog, photo_stack::photo_files& files, work_pool& disk) : catalog_(catalog), files_(files), disk_(disk) {}

    void add_to(route_table& routes);

private:
    using answer = boost::asio::awaitable<response>;

    answer media(visit& v);
    answer alive(visit& v);
    answer ready(visit& v);

    photo_catalog& catalog_;
    photo_stack::photo_files& files_;
    work_pool& disk_;
};

}  // namespace photo_web
