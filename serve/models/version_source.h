// SPDX-License-Identifier: Apache-2.0
// Where a server learns which models it is to offer.
#pragma once

#include "core/base/status.h"
#include "serve/models/model_store.h"

namespace lockstep {

class VersionSource {
 public:
  virtual ~VersionSource() = default;  // stops
  // Looks once, tells the store, and goes on looking on a thread of its own. The store is borrowed. An error, with what
  // was expected, when nothing could be looked at.
  virtual absl::Status start(ModelStore& store) = 0;
  virtual void stop() = 0;
};

}  // namespace lockstep
