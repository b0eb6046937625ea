"""An outside package: one well-behaved method, one data set, one metric, and methods that misbehave.

Installed by the tests as any user's package would be; `bench` finds it through its entry points.
"""
