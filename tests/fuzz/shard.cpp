// Commands in any order for a shard, through the driver and the memory store, with commits and reads that take their time, lost sessions and restarts:
// the bytes decide what random_shard_test draws by lot. The same ledger holds the broker to its promises, and in the end everything must settle.
#include <random>
#include <stdexcept>

#include "tests/core/random_world.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {

void shard(input in) {
    choices c(in);
    core::testing::faults chances;
    chances.restart = static_cast<int>(c.below(32));
    chances.session_lost = static_cast<int>(c.below(32));
    chances.purge = static_cast<int>(c.below(16));
    chances.catalog = static_cast<int>(c.below(32));
    chances.failure = static_cast<int>(c.below(256));
    chances.read = static_cast<int>(c.below(128));
    std::mt19937_64 afterwards(1);  // what is not decided must not always be the same, or nothing would ever come to rest
    const auto decide = [&](std::uint64_t n) { return c.ended() ? afterwards() % n : c.below(n); };
    try {
        core::testing::world w(decide, chances);
        while (!c.ended()) w.run(1);
        w.come_to_rest();
    } catch (const std::logic_error& e) {
        must(false, e.what());
    }
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(shard)
