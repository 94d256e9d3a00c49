// Where changes of the catalog stand in line when a broker has several shards. One change at a time: the shard of its topic makes it, and stores it; then the
// others learn of it; then its client is answered. So every shard has the same catalog whenever a client may know of a change.
//
//   client ──► desk ──change──► its shard ──answered──► desk ──learn──► the others ──answered──► desk ──► client
//
// Openings of producers, all made by the first shard, go on side by side. The desk is in the first shard's router. A plain class.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "broker/core/shard.hpp"

namespace millrace::driver {

class catalog_desk {
public:
    explicit catalog_desk(core::shard_place place) : place_(place) {}

    /// A change that a client asks for, with its origin.
    void ask(core::any_input wanted);

    /// A producer has been idle: all shards forget it, the first one last.
    void forget(core::producer_id idle);

    /// To be submitted to a shard. The answer, to session 0, is answered()'s.
    struct errand {
        std::uint32_t shard = 0;
        core::any_input what;
    };

    /// REQUIRES that `catalog` is the first shard as it is now.
    std::vector<errand> take_errands(const core::shard& catalog);
    void answered(core::request_id which, core::any_answer&& what, const core::shard& catalog);

    /// For the clients that asked.
    std::vector<core::answer> take_answers() { return std::exchange(answers_, {}); }

private:
    enum class stage { making, telling };
    struct change {
        core::any_input what;
        core::origin client;
        stage at = stage::making;
        std::uint32_t maker = 0;
        std::uint32_t untold = 0;  // shards
        core::any_answer verdict;
    };

    std::uint32_t maker_of(const core::any_input& wanted, const core::shard& catalog) const;
    void begin(std::uint64_t id, change& c, const core::shard& catalog);
    void make(std::uint64_t id, change& c);
    void tell(std::uint64_t id, change& c, const core::any_input& news);
    void end(std::uint64_t id, change& c);

    core::shard_place place_;
    std::deque<change> line_;
    std::map<std::uint64_t, change> under_way_;
    std::uint64_t last_ = 0;
    std::vector<errand> errands_;
    std::vector<core::answer> answers_;
};

}  // namespace millrace::driver
