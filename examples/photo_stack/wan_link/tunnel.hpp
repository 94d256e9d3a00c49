// A tunnel device: what is sent to it in its network namespace is read here, and what is written here arrives there.
#pragma once

#include <string>

namespace photo_wan {

/// The device, which is there already, of the namespace of that name. The descriptor does not block, and is the caller's. Throws std::system_error.
int open_tunnel(const std::string& network_namespace, const std::string& device);

}  // namespace photo_wan
