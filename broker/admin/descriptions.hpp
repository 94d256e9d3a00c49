// Topics, subscriptions, sessions and the broker as JSON. The first two have the fields, and the order, that `millrace topic describe --json` and
// `millrace subscription describe --json` print: a test compares them byte by byte.
#pragma once

#include <string>

#include "broker/admin/view.hpp"
#include "broker/core/effect.hpp"
#include "broker/core/figures.hpp"

namespace millrace::admin {

std::string json_of(const core::answers::topic_info& t);
std::string json_of(const core::answers::subscription_info& s);
std::string json_of(const session_state& s, const std::vector<core::consumer_figures>& consumers);
std::string json_of(const broker_state& s);

}  // namespace millrace::admin
