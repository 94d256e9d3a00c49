// The one place that sees both the broker and admin HTTP: shows the former to the latter.
#pragma once

#include <string>

#include "broker/admin/view.hpp"
#include "broker/server/broker.hpp"

namespace millrace {

class broker_view : public admin::view {
public:
    /// What the broker itself does not know of.
    struct surroundings {
        std::string version;
        std::string store;
    };

    /// `broker` outlives the view. `now` is the broker's.
    broker_view(const server::broker& broker, surroundings around, server::broker::clock now);

    error not_ready() const override { return broker_.not_ready(); }
    admin::broker_state state() const override;
    std::uint32_t shards() const override { return broker_.shards(); }
    bool see(std::uint32_t shard, const std::function<void(const core::shard&)>& look) const override;
    std::vector<admin::session_state> sessions(std::uint64_t after, std::size_t limit) const override;

private:
    const server::broker& broker_;
    surroundings around_;
    server::broker::clock now_;
    timestamp started_at_;
};

}  // namespace millrace
