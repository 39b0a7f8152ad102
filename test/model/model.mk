# SPDX-License-Identifier: MIT
# The protocol in Promela, every order of steps of three cores. Included by the top Makefile.
#
# make model   Spin's verdict on the mail's protocol, before and after, on howler's base role, and broken on purpose

.PHONY: model
model:
	CC="$(CC)" test/model/check.sh
