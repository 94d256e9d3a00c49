// What is done to a photo before its sizes are made, as it stands in rows, messages and the API:
//
//   {"crop": {"left": 640, "top": 0, "width": 1280, "height": 1600}, "blur": 2, "sharpen": 3}
//
// What is not done is not there, so that each edit has one text; that of the original as it was sent is {}.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "examples/photo_workers/renditions.hpp"

namespace photo_stack {

using photo_edit = photos::edit;

inline constexpr int edit_strength_max = 10;  // of blur and sharpen

boost::json::object json_of(const photo_edit& edit);
std::string text_of(const photo_edit& edit);

/// Throws std::exception when that is none of ours. What strangers send is read by the web server, and refused there.
photo_edit edit_from(const boost::json::object& object);
photo_edit edit_from_text(const std::string& text);

}  // namespace photo_stack
