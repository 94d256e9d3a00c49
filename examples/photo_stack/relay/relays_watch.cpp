#include "examples/photo_stack/relay/relays_watch.hpp"

namespace photo_relay {

std::vector<std::string> relays_watch::still(const beats_by_relay& beats, clock::time_point now, clock::duration limit) {
    std::erase_if(seen_, [&](const auto& each) { return !beats.contains(each.first); });
    std::vector<std::string> found;
    for (const auto& [relay, count] : beats) {
        auto& known = seen_.try_emplace(relay, state{count, now}).first->second;
        if (known.beats != count) known = {count, now};
        if (now - known.since < limit) continue;
        found.push_back(relay);
        known.since = now;
    }
    return found;
}

}  // namespace photo_relay
