// Which of the other relays stand still, as one of them sees it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace photo_relay {

/// Needs no clock but this relay's own: it is not asked when another one has counted, but whether it has since.
class relays_watch {
public:
    using clock = std::chrono::steady_clock;
    using beats_by_relay = std::map<std::string, std::optional<std::int64_t>>;  // how far each has counted

    /// To be told at every look. Whoever is at the same as `limit` before, in all looks since; it is watched anew from now on.
    std::vector<std::string> still(const beats_by_relay& beats, clock::time_point now, clock::duration limit);

private:
    struct state {
        std::optional<std::int64_t> beats;
        clock::time_point since;
    };
    std::map<std::string, state> seen_;
};

}  // namespace photo_relay
