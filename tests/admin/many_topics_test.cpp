// More topics than have series of their own, and what they cost the loop.
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>

#include "broker/admin/metrics.hpp"
#include "tests/admin/exposition.hpp"
#include "tests/admin/running_admin.hpp"
#include "tests/process/blocking_client.hpp"

namespace millrace {
namespace {

using process::blocking_client;

std::string topic_name(std::size_t i) {
    return "topic" + std::to_string(100'000 + i);
}

/// Topics with a subscription each.
void create_topics(const running_admin& broker, std::size_t count) {
    blocking_client client(broker.server());
    for (std::size_t begin = 0; begin < count; begin += 500) {
        std::size_t done = 0;
        const auto end = std::min(begin + 500, count);
        for (auto i = begin; i < end; ++i) {
            client.broker().async_create_topic(topic_name(i), {}, [&, i](boost::system::error_code failed, const auto&) {
                if (failed) throw std::runtime_error(failed.message());
                client.broker().async_create_subscription(topic_name(i), "all", {}, {}, [&](boost::system::error_code refused, const auto&) {
                    if (refused) throw std::runtime_error(refused.message());
                    ++done;
                });
            });
        }
        client.run_until([&] { return done == end - begin; });
    }
}

/// The longest time for which a handler that is posted again and again had to wait, while `what` was done.
template <class F>
std::chrono::microseconds longest_turn(running_admin& broker, F what) {
    using clock = std::chrono::steady_clock;
    struct ticker {
        running_admin& broker;
        bool over = false;
        clock::time_point last = clock::now();
        clock::duration longest{};

        void tick() {
            const auto now = clock::now();
            longest = std::max(longest, now - last);
            last = now;
            if (!over) boost::asio::post(broker.io(), [this] { tick(); });
        }
    } t{broker};
    boost::asio::post(broker.io(), [&] {
        t.last = clock::now();
        t.tick();
    });
    what();
    broker.on_loop([&] { return t.over = true; });
    broker.on_loop([] { return 0; });  // behind the last tick
    return std::chrono::duration_cast<std::chrono::microseconds>(t.longest);
}

}  // namespace

TEST_CASE("the oldest topics have series of their own, and what is left out is counted") {
    running_admin broker;
    const auto beyond = 3u;
    create_topics(broker, admin::topics_with_series_max + beyond);
    const auto all = parse_exposition(broker.get("/metrics").body);
    CHECK(value_of(all, "millrace_topics") == admin::topics_with_series_max + beyond);
    const auto has = [&](std::size_t i) {
        return all.contains("millrace_topic_messages{topic=\"" + topic_name(i) + "\"}") &&
               all.contains("millrace_subscription_ready_messages{topic=\"" + topic_name(i) + "\",subscription=\"all\"}");
    };
    CHECK(has(0));
    CHECK(has(admin::topics_with_series_max - 1));
    CHECK_FALSE(has(admin::topics_with_series_max));
    CHECK(value_of(all, "millrace_metric_series_capped") == beyond * (4 + 15));
    CHECK(broker.get("/v1/topics?after=" + topic_name(admin::topics_with_series_max)).body.find(topic_name(admin::topics_with_series_max + 1)) !=
          std::string::npos);
}

TEST_CASE("how long the loop stands still", "[.measure]") {
    running_admin broker;
    create_topics(broker, 10'000);
    const auto print = [&](const char* what, auto action) {
        const auto before = std::chrono::steady_clock::now();
        std::size_t bytes = 0;
        const auto longest = longest_turn(broker, [&] { bytes = action(); });
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before);
        std::cout << what << ": " << bytes << " bytes in " << took.count() << " ms, longest turn " << longest.count() << " us\n";
    };
    for (int i = 0; i < 3; ++i) {
        print("nothing", [] {
            std::this_thread::sleep_for(std::chrono::milliseconds{300});
            return std::size_t{0};
        });
        print("/metrics", [&] { return broker.get("/metrics").body.size(); });
        print("/v1/topics", [&] { return broker.get("/v1/topics").body.size(); });
    }
}

}  // namespace millrace
