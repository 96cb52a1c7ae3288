# What our company wants of a plan, beyond the guardrails of keys.yaml.
package main

import rego.v1

# A key that is worth money to somebody goes only after a word with them.
deny contains message if {
	some change in input.changes
	change.action in {"delete", "retire"}
	to_number(change.spend.cost) >= 10
	message := sprintf("%s: it has spent $%s in %d days", [change.address, change.spend.cost, change.spend.days])
}

# Limits grow slowly, except from nothing.
deny contains message if {
	some change in input.changes
	before := to_number(change.before.credit_limit)
	before > 0
	to_number(change.after.credit_limit) > before * 2
	message := sprintf("%s: the limit more than doubles, from $%s", [change.address, change.before.credit_limit])
}

# What guards production is lifted by changing keys.yaml, in a reviewed change.
deny contains message if {
	some glob in input.options.allow
	not startswith(glob, "ci/")
	message := sprintf("--allow %s: only guardrails of ci are lifted here", [glob])
}

# Secrets go to our own repositories only.
deny contains message if {
	some change in input.changes
	some place in change.deliveries
	place.type == "github-actions"
	not startswith(lower(place.settings.repository), "acme/")
	message := sprintf("%s: its secret would go to %s", [change.address, place.settings.repository])
}

# Nobody gets a key without a limit by the way.
deny contains message if {
	some given in array.concat(input.power.gives.new_keys, input.power.gives.removed_limits)
	startswith(given.address, "production/")
	object.get(given, "credit_limit", null) == null
	message := sprintf("%s: it would have no limit", [given.address])
}

warn contains message if {
	some given in input.power.gives.new_places
	message := sprintf("%s: %s is new for its environment", [given.address, given.delivery.destination])
}

warn contains message if {
	more := input.credit.unlimited_after - input.credit.unlimited_before
	more > 0
	message := sprintf("%d more keys without a limit", [more])
}
