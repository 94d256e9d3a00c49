// Which right each request needs, where the broker has tokens.
#pragma once

#include "broker/access.hpp"
#include "proto/frame.hpp"

namespace millrace::server {

right needed_for(wire::Message request) noexcept;

}  // namespace millrace::server
