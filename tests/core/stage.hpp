// One shard on a stage: takes the commands of a transcript, line by line, and says what each of them did.
//
//   settings window=N load_blocks=N load_bytes=N level=disk adoption_wait=D longest_lease=D        before everything else
//   topic NAME [partitions=N keep_age=D keep_bytes=N max_age=D max_backlog=N on_limit=refuse|expire]
//   update-topic NAME […]   describe-topic NAME   topics [after=NAME] [limit=N]   metadata NAME…
//   delete-topic NAME [force]   purge NAME
//   subscription TOPIC NAME [from=earliest|latest|N] [POLICY]   update-subscription TOPIC NAME [POLICY]   describe TOPIC NAME
//     POLICY: visibility=D max_deliveries=N backoff=D..D dead_letter=TOPIC, or dead_letter= for none
//   subscriptions TOPIC   delete-subscription TOPIC NAME [force]
//   producer S NAME                                publish S TOPIC/P NxBYTES… [demand=LEVEL] [as=NAME:NUMBER] [checksum=N]
//   subscribe S C TOPIC NAME messages=N bytes=N [held=TOPIC/P:A-B@ATTEMPT,A-B@ATTEMPT…]            unsubscribe S C
//   credit S C messages=N bytes=N                  peek S TOPIC/P at=N messages=N bytes=N
//   start|ack|nack|reject|release|extend S C TOPIC/P A-B[@ATTEMPT]… ["REASON"]
//   hand-over       performs the hand-overs that were asked for, each as an envelope of [bytes=100]; drop-hand-overs forgets them
//   lost S          tick [D]         sleep D       deadline
//   close           the open group goes to the store          stored        what was closed is in the store, the core is not told
//   committed [N]   the core is told, by default of all       commit        close, and committed when there was something
//   load            answers all loads that were asked for     fail-loads    fails them
//   damaged TOPIC/P A-B [load=N]                   undelivered S C TOPIC/P A-B[@ATTEMPT] [bytes=N]
//   tamper progress TOPIC/NAME/P erased|cut|[cursor=N acked=N parked=N]    tamper block TOPIC/NAME/P BLOCK erased|cut
//   tamper failure TOPIC/NAME/P SEQUENCE [parked]  changes a stored row behind the shard's back
//   restart [D]     recovers a new shard from the store, whose clock is set back by D         rows, entries what is in the store
//
// S and C are s1 and c1; D is 5s or 250ms. A topic may be named by its id: #1. Requests are numbered for each session: "s1.3" is the answer to
// its third. Requests about the catalog come from session 0.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/shard.hpp"
#include "tests/core/printing.hpp"
#include "tests/core/row_map.hpp"

namespace millrace::core::testing {

class stage {
public:
    stage();

    /// Performs one line and returns what it did, a line for each effect. The shard is checked after every step.
    std::string perform(const std::string& line);

private:
    struct words;

    std::string command(words& w);
    std::optional<any_input> catalog_input(words& w);
    std::optional<any_input> session_input(words& w);
    std::optional<any_input> lease_input(words& w);
    std::string publish(words& w);
    std::string hand_over(std::uint32_t bytes);
    std::string tamper(words& w);
    std::string step(const any_input& in);
    std::string close();
    void store_closed();
    std::string committed(std::optional<std::uint64_t> number);
    std::string answer_loads(bool fail);
    std::string recover();
    std::string dump_rows() const;
    std::string dump_entries() const;
    origin from(session_id session);
    partition_id partition(const std::string& text) const;

    shard_settings settings_;
    timestamp now_{};
    row_map store_;
    std::optional<shard> shard_;
    std::deque<group> closed_;           // not in the store yet
    std::uint64_t last_closed_ = 0;
    std::deque<load> loads_;             // asked for, not answered
    std::vector<core::hand_over> hand_overs_;  // asked for, not performed
    std::map<origin, std::string> opening_;
    std::map<std::string, answers::producer_opened> producers_;  // as they were opened last
    known_names names_;
    std::map<session_id, std::uint64_t> requests_;
};

}  // namespace millrace::core::testing
