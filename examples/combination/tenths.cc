// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The bank counts in tenths of a cent, all of it from one moment on.

#include "examples/combination/tenths.h"

#include <chrono>

#include "updates/mechanisms/replace_when_held.h"
#include "updates/mechanisms/set_exposed.h"
#include "updates/mechanisms/transfer.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace bank {
namespace {

using Runs = std::vector<long>;

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.When(&WhenTheBooksAreOpen);
  // In the middle of one a mover carries cents, and is in no function that its
  // stack would show.
  plan.AtUpdatePoint("between transfers", "mover");

  plan.ConvertEagerly<Account, AccountV2>();
  plan.ConvertLazily<Customer, CustomerV2>();
  plan.ConvertProgressively<Entry, EntryV2>();
  plan.Add(instar::TransferBothWays<Runs, Runs>("bank::runs", &tenths_runs,
                                                &ToTenths, &ToCents));

  plan.Redefine(&Draw, &NewDraw);
  plan.Redefine(&Take, &NewTake);
  plan.Redefine(&Put, &NewPut);
  plan.Redefine(&Total, &NewTotal);
  plan.Redefine(&IsAllThere, &NewIsAllThere);
  plan.Redefine(&CheckJournal, &NewCheckJournal);
  plan.Redefine(text, &InTenths);
  plan.Redefine(&PayInterest, &NewPayInterest);
  plan.Add(instar::ReplaceWhenHeld(
      "clerk",
      {instar::Replacement(&PayInterest, &PayRest, &CaptureRun),
       instar::Replacement(&PayOldRest, &PayRest, &CaptureRun)},
      /*when_undone=*/
      {instar::Replacement(&NewPayInterest, &PayOldRest, &CaptureNewRun),
       instar::Replacement(&PayRest, &PayOldRest, &CaptureNewRun)}));
  plan.RedefineAtOnce(&NextLine, &NewNextLine);  // the teller is always in it

  plan.Reboot("auditor", instar::MainWith(&NewAuditorMain, &CaptureAudits),
              instar::MainWith(&AuditorMain, &CaptureAudits));
  plan.Add(instar::SetExposed("mover", "rest", std::chrono::microseconds(200)));
  plan.StartPassiveThread("saver", &SaverMain);

  plan.After([] { return absl::OkStatus(); }, /*undo=*/&RoundDown);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("tenths", Describe);
}  // namespace
}  // namespace bank
