// SPDX-License-Identifier: Apache-2.0
// What a prediction server answered, as gcloud prints it. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

enum class AnswerFormat { kTable, kJson };

// The text for `answer`, the body of a successful response. Its "predictions", if they are maps, are a table as
// predictions_table() makes one, with a column for each output that any of them has; other values are printed one a
// line, without a heading. An answer without a list of predictions (that to {"inputs": …}, say) is printed as one line
// of JSON. kJson: as predictions_json() does. Numbers are as Python prints them. DataLoss when it is no JSON, with its
// beginning; Internal when it is an error all the same.
absl::StatusOr<std::string> answer_text(std::string_view answer, AnswerFormat format);

// The beginning of `body`, of which a server may have sent anything: safe for a terminal, on as many lines as it has.
std::string shown_body(std::string_view body);

}  // namespace lockstep
