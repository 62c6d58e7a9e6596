"""What comes back: messages from other systems, read and classified.

`inspect` returns what a message is and what it says about the recipients of an earlier one. This
package uses no database.
"""
