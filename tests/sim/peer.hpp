// Whoever acts in a run on a connection of its own.
#pragma once

namespace millrace::sim {

class connection;

class peer {
public:
    virtual ~peer() = default;

    /// One thing that somebody might do now.
    virtual void act() = 0;

    /// Its connection is lost.
    virtual void cut() = 0;

    /// Its connection, or nothing.
    virtual connection* wire() = 0;
};

}  // namespace millrace::sim
